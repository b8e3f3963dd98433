"""A headless Chromium and its pages, driven over the pipe that it offers to its parent (DevTools protocol).

https://chromedevtools.github.io/devtools-protocol/ names every method and event used here.
"""

import base64
import itertools
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from toolchain import browser
from toolchain.errors import ToolchainError

PATIENCE = 60.0
"""Seconds until a browser that does not answer is given up."""

FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # root has no sandbox; the pages are our own
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-lcd-text",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
)

KEY_CODES = {
    "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "ArrowUp": 38, "End": 35, "Enter": 13, "Escape": 27,
    "Home": 36, "Tab": 9,
}  # fmt: skip
"""Keys without a character, with the numbers that a browser wants beside the names."""

LOG = "log"
"""What the browser says on stderr, in the folder of its run."""


@contextmanager
def _running(folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Run a browser; yield where to write its commands and where to read its answers."""
    # The browser reads descriptor 3 and writes descriptor 4.
    shell = 'exec "$@" 3<&0 4>&1 0</dev/null 1>&2'
    argv = ["sh", "-c", shell, "sh", browser.program(), *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    own = {**os.environ, "HOME": str(folder), "TZ": "UTC", "LANG": "C.UTF-8"}
    their_commands, commands = os.pipe()
    answers, their_answers = os.pipe()
    with os.fdopen(commands, "wb", buffering=0) as writer, os.fdopen(answers, "rb") as reader:
        with (folder / LOG).open("wb") as log, os.fdopen(their_commands), os.fdopen(their_answers, "w"):
            process = subprocess.Popen(
                argv, stdin=their_commands, stdout=their_answers, stderr=log, env={**own, **environment}
            )
        try:
            yield writer, reader
            process.wait(10)
        finally:
            process.kill()
            process.wait()


class Chromium:
    """A running browser. Every page has a profile of its own and one size of type everywhere."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes], log: Path) -> None:
        self._commands = commands
        self._answers = answers
        self._log = log
        self._numbers = itertools.count(1)
        self._received = b""
        self._events: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def start(cls) -> Iterator["Chromium"]:
        """Start the browser of the tier `browser`, with its fonts and no other ones."""
        tier = browser.present()
        with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as scratch:
            folder = Path(scratch)
            fonts = folder / "fonts.conf"
            fonts.write_text(browser.font_settings(tier, folder / "font-cache"))
            with _running(folder, {"FONTCONFIG_FILE": str(fonts)}) as (commands, answers):
                chromium = cls(commands, answers, folder / LOG)
                yield chromium
                chromium.call("Browser.close")

    def version(self) -> str:
        return str(self.call("Browser.getVersion")["product"])

    @contextmanager
    def page(self, *, width: int = 1280, height: int = 900) -> Iterator["Page"]:
        """Yield an empty page of that size in CSS pixels."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.resize(width, height)
        page.call("Page.enable")
        page.call("Runtime.enable")
        page.call("Log.enable")
        try:
            yield page
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result. Raises ToolchainError with the browser's words."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        try:
            self._commands.write(json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise self._ended(method) from None
        deadline = time.monotonic() + PATIENCE
        while (answer := self._next(deadline, method)).get("id") != number:
            self._events.append(answer)
        if "error" in answer:
            raise ToolchainError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def event(self, method: str, session: str) -> dict[str, Any]:
        """Wait for an event of a page and return what it carries. An event is handed out once."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for event in self.events(method, session):
                return event
            self._events.append(self._next(deadline, method))

    def events(self, method: str, session: str) -> list[dict[str, Any]]:
        """Return what the events that have come so far carry."""
        wanted = [e for e in self._events if e.get("method") == method and e.get("sessionId") == session]
        self._events = [e for e in self._events if e not in wanted]
        return [e["params"] for e in wanted]

    def _next(self, deadline: float, what: str) -> dict[str, Any]:
        descriptor = self._answers.fileno()
        while b"\0" not in self._received:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(descriptor, 1 << 20) if ready else b""
            if not chunk:
                end = self._log.read_text(errors="replace")[-2000:]
                raise ToolchainError(
                    f"the browser {'ended' if ready else 'does not answer'} ({what}):\n{end}"
                )
            self._received += chunk
        message, _, self._received = self._received.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def _ended(self, what: str) -> ToolchainError:
        return ToolchainError(
            f"the browser ended at {what}:\n{self._log.read_text(errors='replace')[-2000:]}"
        )


class Page:
    """One page of a `Chromium`."""

    def __init__(self, chromium: Chromium, session: str) -> None:
        self._chromium = chromium
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this page."""
        return self._chromium.call(method, self._session, **parameters)

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def media(self, *, kind: str = "", **features: str) -> None:
        """Have the page think of a medium (``print``) and features, such as ``prefers_color_scheme="dark"``."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", media=kind, features=named)

    def open(self, url: str) -> None:
        """Load an address and wait until everything is there."""
        self._chromium.events("Page.loadEventFired", self._session)
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise ToolchainError(f"{url}: {answer['errorText']}")
        self._chromium.event("Page.loadEventFired", self._session)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, after it if it is a promise. Raises what it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise ToolchainError(str(details.get("exception", {}).get("description", details["text"])))
        return answer["result"].get("value")

    def press(self, *keys: str, modifiers: int = 0) -> None:
        """Press keys one after the other: a character, or a name of KEY_CODES. Shift is modifier 8."""
        for key in keys:
            event: Mapping[str, Any] = {
                "key": key,
                "code": key if key in KEY_CODES else "",
                "windowsVirtualKeyCode": KEY_CODES.get(key, ord(key[0])),
                "modifiers": modifiers,
            }
            typed = {} if key in KEY_CODES and key != "Enter" else {"text": "\r" if key == "Enter" else key}
            self.call("Input.dispatchKeyEvent", type="keyDown", **event, **typed)
            self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def screenshot(self) -> bytes:
        """Return the whole page as a PNG file."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """Return the page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def complaints(self) -> list[str]:
        """Return what the browser has said about the page so far: errors, exceptions, refused loads."""
        thrown = self._chromium.events("Runtime.exceptionThrown", self._session)
        logged = self._chromium.events("Log.entryAdded", self._session)
        told = [str(event["exceptionDetails"]) for event in thrown]
        return told + [f"{event['entry']['level']}: {event['entry']['text']}" for event in logged]
