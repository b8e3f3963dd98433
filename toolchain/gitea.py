"""A real Gitea on loopback, as a forge: its API and its git, without the web pages that need a build of their own.

    with Gitea.start() as gitea:
        token = gitea.user("bot")
        requests.get(f"{gitea.url}/api/v1/user", headers={"Authorization": f"token {token}"})

The tier `gitea` is one Go module. It is the only one that is slow to build and needed by nothing but
`make test-extra`.
"""

import contextlib
import getpass
import os
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from toolchain import cache
from toolchain.cluster import WITH_PARENT
from toolchain.errors import ToolchainError
from toolchain.golang import ENVIRONMENT
from toolchain.ports import Ports
from toolchain.programs import run, search_path
from toolchain.progress import say, step

MODULE = Path(__file__).with_name("go-gitea")
PACKAGE = "code.gitea.io/gitea"
# Its database is SQLite through cgo, which needs a C compiler.
BUILD = {**ENVIRONMENT, "CGO_ENABLED": "1"}
DATA = ("options", "public", "templates")
"""The folders of the module that the server reads while it runs."""
START_SECONDS = 60
CONFIGURATION = """
RUN_MODE = prod
RUN_USER = {user}
; It refuses to be root otherwise; the cache of the toolchain may be in a home that only root can enter.
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
STATIC_ROOT_PATH = {data}
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
PASSWORD_HASH_ALGO = pbkdf2_v2
[log]
LEVEL = warn
[cron]
ENABLED = false
[service]
DISABLE_REGISTRATION = true
"""


def ensure() -> Path:
    """Have the tier in the cache. From nothing that takes about nine minutes on two cores."""
    module = {path.name: path.read_bytes() for path in MODULE.iterdir()}
    tier = cache.home() / f"gitea-{cache.key(module)}"
    cache.ensure(tier, _build)
    return tier


def _build(tier: Path) -> None:
    say("building Gitea; from nothing that takes about nine minutes")
    tags = "sqlite sqlite_unlock_notify"
    with step("built gitea"):
        run(
            ["go", "build", "-ldflags", "-s -w", "-tags", tags, "-o", tier / "gitea", PACKAGE],
            cwd=MODULE,
            env=BUILD,
        )
    source = Path(run(["go", "list", "-m", "-f", "{{.Dir}}", PACKAGE], cwd=MODULE, env=BUILD).strip())
    for name in DATA:
        # Files of the module cache are read-only; those of ours can be removed again.
        shutil.copytree(source / name, tier / name, copy_function=shutil.copyfile)
    for path, _, _ in os.walk(tier):
        Path(path).chmod(0o755)


class Gitea:
    """A running server. It ends with the thread that started it."""

    def __init__(self, tier: Path) -> None:
        self._tier = tier
        self._folder = Path(tempfile.mkdtemp(prefix="sf-gitea-"))
        self._ports = Ports(("http",))
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._ports['http']}"

    @classmethod
    def start(cls) -> Self:
        """Start an empty server. Raises ToolchainError if it does not answer within START_SECONDS."""
        with step("started Gitea"), contextlib.ExitStack() as undo:
            gitea = cls(ensure())
            undo.push(gitea)
            gitea._start()
            undo.pop_all()
        return gitea

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and remove every trace of it."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._ports.release()
        shutil.rmtree(self._folder)

    def user(self, name: str, *, scopes: str = "all") -> str:
        """Make a user, and return a token for all that is in `scopes`."""
        create = ["admin", "user", "create", "--username", name, "--email", f"{name}@example.test"]
        run(
            self._command(*create, "--random-password", "--must-change-password=false"), env=self._environment
        )
        return self.token(name, scopes=scopes)

    def token(self, name: str, *, scopes: str) -> str:
        """Return another token of a user."""
        generate = ["admin", "user", "generate-access-token", "--username", name]
        label = ["--token-name", secrets.token_hex(8), "--scopes", scopes, "--raw"]
        return run(self._command(*generate, *label), env=self._environment).split()[-1]

    def _start(self) -> None:
        configuration = self._folder / "custom/conf/app.ini"
        configuration.parent.mkdir(parents=True)
        configuration.write_text(
            CONFIGURATION.format(
                data=self._tier,
                port=self._ports["http"],
                folder=self._folder,
                secret=secrets.token_hex(16),
                user=getpass.getuser(),
            )
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command("web"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._log.read_text(errors="replace").splitlines()[-15:]
                raise ToolchainError("\n  ".join(["Gitea does not answer; its last words:", *words]))
            time.sleep(0.1)

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/api/v1/version", timeout=5):
                return True
        except OSError:
            return False

    def _command(self, *arguments: str) -> list[str | Path]:
        return [*WITH_PARENT, self._tier / "gitea", *arguments]

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": search_path(),
            "HOME": str(self._folder),
            "USER": getpass.getuser(),
            "GITEA_WORK_DIR": str(self._folder),
        }
