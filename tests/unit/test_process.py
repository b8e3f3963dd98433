"""The door to other programs, with real ones: they end in time with what they said, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.models import Interrupted, Problem
from sf.process import (
    _GRACE,
    STDERR_KEPT,
    Cancelled,
    Completed,
    Launcher,
    ProgramFailed,
    ProgramMissing,
    ProgramTimeout,
    find,
    inherited,
)
from sf.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ENVIRON: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
# What INT, TERM and KILL may take together, and how much longer the runner of GitHub would wait.
BUDGET: Final = 5.0 + 2.5


def run(*argv: str, launcher: Launcher | None = None, timeout: float = 20, **options: Any) -> Completed:
    launcher = launcher or Launcher(Redactor())
    return launcher.run(argv, timeout=timeout, **{"environ": ENVIRON, **options})


def python(script: str, *arguments: str, **options: Any) -> Completed:
    return run(sys.executable, "-c", textwrap.dedent(script), *arguments, **options)


def sh(script: str, **options: Any) -> Completed:
    return run("sh", "-c", script, **options)


def group_is_gone(pid: int) -> bool:
    """Whether no process of the group `pid` is left. One that was killed may take a moment to be gone."""
    patience = time.monotonic() + 2
    while (alive := group_lives(pid)) and time.monotonic() < patience:
        time.sleep(0.01)
    return not alive


def group_lives(pid: int) -> bool:
    """Whether the group `pid` has a process that is no zombie: those wait for init, not for us."""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # After the name in parentheses: state, parent, process group.
            state, _, group = (directory / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) == pid and state not in "ZX":
                return True
    return False


def told_pid(lines: list[str]) -> int:
    return int(next(line for line in lines if line.startswith("pid ")).split()[1])


@pytest.fixture
def alarm() -> Iterator[Callable[[float, BaseException], None]]:
    """Raise an exception out of a signal handler in the main thread after so many seconds."""
    before = signal.getsignal(signal.SIGALRM)

    def arm(seconds: float, error: BaseException) -> None:
        def handler(_signum: int, _frame: FrameType | None) -> None:
            # A new one: it refers to the frames it went through, and must not outlive the test of them.
            raise type(error)(*error.args)

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# --- what a program gets ---


def test_every_hostile_argument_arrives_unchanged() -> None:
    arguments = [
        "",
        " ",
        "a b",
        "$(id)",
        "`id`",
        "; id",
        "&& id",
        "| id",
        "> /dev/full",
        "'",
        '"',
        "\\",
        "*",
        "~",
        "!x",
        "-x",
        "--",
        "\n",
        "\t",
        "é世",
        "\udcff",
        "".join(map(chr, range(1, 128))),
    ]
    script = "import sys, os; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"

    assert python(script, *arguments).stdout.split(b"\0") == [os.fsencode(text) for text in arguments]


@pytest.mark.parametrize("environ", [{}, {"ONE": "1", "TWO": "$ONE\n'", "PATH": "/nowhere"}])
def test_the_environment_is_exactly_what_was_given(environ: dict[str, str]) -> None:
    printed = run("/usr/bin/env", "-0", environ=environ).stdout.split(b"\0")[:-1]

    assert sorted(printed) == sorted(f"{name}={value}".encode() for name, value in environ.items())


def test_what_every_program_may_know_carries_no_credential() -> None:
    environ = {
        "PATH": "/bin",
        "HOME": "/h",
        "GITHUB_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "https_proxy": "p",
    }

    assert inherited(environ) == {"PATH": "/bin", "HOME": "/h", "https_proxy": "p"}


def test_stdin_is_empty_unless_something_is_given() -> None:
    script = "import os; print(os.path.realpath('/proc/self/fd/0'))"

    assert python(script).text == "/dev/null\n"
    assert run("cat", stdin=b"a\0b").stdout == b"a\0b"


def test_no_other_descriptor_is_inherited() -> None:
    with open(os.devnull, "rb") as file:  # noqa: PTH123 - a descriptor is what is wanted
        os.set_inheritable(file.fileno(), True)
        script = "import os; print([fd for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{fd}')])"
        assert python(script).text == "[]\n"


def test_a_program_is_alone_in_its_session() -> None:
    assert python("import os; print(os.getsid(0) == os.getpid() == os.getpgid(0))").text == "True\n"


def test_it_runs_where_it_is_told_to(tmp_path: Path) -> None:
    assert run("pwd", "-P", cwd=tmp_path).text == f"{tmp_path.resolve()}\n"


# --- what comes back ---


def test_both_streams_are_drained_whatever_the_order() -> None:
    script = """
        import sys
        sys.stderr.write("e" * 1_000_000); sys.stderr.flush()
        sys.stdout.write("o" * 1_000_000); sys.stdout.flush()
        sys.stderr.write("\\nlast words\\n")
    """
    completed = python(script)

    assert completed.stdout == b"o" * 1_000_000
    assert len(completed.stderr) == STDERR_KEPT
    assert completed.complaint == "last words"


def test_a_megabyte_of_stdin_comes_back() -> None:
    data = os.urandom(1_000_000)

    assert run("cat", stdin=data).stdout == data


def test_a_program_need_not_read_its_stdin() -> None:
    assert run("true", stdin=b"x" * 1_000_000).code == 0
    assert sh("sleep 0.2; exit 0", stdin=b"x" * 1_000_000).code == 0


def test_stdin_is_fed_to_a_program_that_closed_its_output(tmp_path: Path) -> None:
    data = b"x" * 1_000_000
    sh(f"exec >&- 2>&-; sleep 0.1; cat > '{tmp_path}/got'", stdin=data)

    assert (tmp_path / "got").read_bytes() == data


def test_a_program_that_closes_its_output_is_waited_for() -> None:
    assert sh("exec >&- 2>&-; sleep 0.3; exit 3", accept=(3,)).duration >= 0.3


def test_bytes_that_are_no_text_become_surrogates_and_replacements() -> None:
    completed = sh(r"printf '\377'; printf '\377' >&2")

    assert (completed.text, completed.stderr) == ("\udcff", "\ufffd")


def test_every_line_of_both_streams_arrives_as_it_comes() -> None:
    lines: list[tuple[str, float]] = []
    sh(
        "echo one; sleep 0.4; echo two >&2; printf three",
        on_line=lambda line: lines.append((line, time.monotonic())),
    )

    assert [line for line, _ in lines] == ["one", "two", "three"]
    assert lines[1][1] - lines[0][1] > 0.2


def test_the_last_line_arrives_even_if_a_process_left_behind_keeps_the_pipe() -> None:
    lines: list[str] = []
    sh("printf unfinished; sleep 30 &", on_line=lines.append)

    assert lines == ["unfinished"]


def test_lines_end_with_or_without_carriage_return() -> None:
    lines: list[str] = []
    sh(r"printf 'a\r\nb\rc\n\n'", on_line=lines.append)

    assert lines == ["a", "b\rc", ""]


def test_a_line_without_end_does_not_grow_without_bound() -> None:
    lines: list[str] = []
    python("print('x' * 1_000_000 + 'end')", on_line=lines.append)

    assert len(lines) == 1
    assert len(lines[0]) == STDERR_KEPT
    assert lines[0].endswith("xend")


# --- secrets ---


def test_secrets_are_scrubbed_from_everything_but_stdout() -> None:
    redactor = Redactor()
    redactor.register("correct-horse")
    lines: list[str] = []
    completed = sh(
        "echo correct-horse; echo correct-horse >&2",
        launcher=Launcher(redactor),
        environ={**ENVIRON, "TOKEN": "correct-horse"},
        on_line=lines.append,
    )
    with pytest.raises(ProgramFailed) as failed:
        run("false", "correct-horse", launcher=Launcher(redactor))

    assert completed.stdout == b"correct-horse\n"
    assert completed.stderr == "***\n"
    assert lines == ["***", "***"]
    assert completed.argv[2] == "echo ***; echo *** >&2"
    assert "correct-horse" not in f"{failed.value}{failed.value.completed}"


def test_a_secret_at_the_edge_of_what_is_kept_does_not_leave_its_tail() -> None:
    redactor = Redactor()
    redactor.register("correct-horse")
    lines: list[str] = []
    # The secret begins before the last 64 KiB and ends in them.
    script = f"import sys; sys.stderr.write('x' * 9999 + 'correct-horse' + 'x' * ({STDERR_KEPT} - 5))"
    completed = python(script, launcher=Launcher(redactor), on_line=lines.append)

    assert "horse" not in completed.stderr
    assert "horse" not in lines[0]


# --- how it may end ---


def test_an_exit_code_is_a_failure_unless_it_is_accepted() -> None:
    with pytest.raises(ProgramFailed, match=r"^`sh -c` ended with exit code 3: that was bad$") as failed:
        sh("echo first >&2; echo '  that was bad  ' >&2; echo >&2; exit 3")

    assert failed.value.completed.code == 3
    assert sh("exit 3", accept=(0, 3)).code == 3


@pytest.mark.parametrize(("number", "name"), [(15, "SIGTERM"), (9, "SIGKILL"), (40, "signal 40")])
def test_a_signal_is_named(number: int, name: str) -> None:
    with pytest.raises(ProgramFailed, match=rf"^`sh -c` was ended by {name}$"):
        sh(f"kill -{number} $$")


def test_the_deadline_keeps_what_was_said_until_then() -> None:
    with pytest.raises(
        ProgramTimeout, match=r"^`sh -c` did not end within 0\.3 s; its last words: waiting$"
    ) as late:
        sh("echo partial; echo waiting >&2; exec sleep 30", timeout=0.3)

    assert late.value.completed.stdout == b"partial\n"
    assert late.value.completed.duration < 2


def test_more_output_than_allowed_ends_the_program() -> None:
    with pytest.raises(ProgramFailed, match="printed more than 1000 bytes and was stopped") as failed:
        run("yes", stdout_limit=1000)

    assert failed.value.completed.duration < 2


def test_the_limit_also_holds_for_a_program_that_ends() -> None:
    assert len(python("print('x' * 999)", stdout_limit=1000).stdout) == 1000
    with pytest.raises(ProgramFailed, match="more than 1000 bytes"):
        python("print('x' * 1000)", stdout_limit=1000)


def test_a_flood_that_ignores_signals_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sf.process._GRACE", tuple((signum, 0.2) for signum, _ in _GRACE))
    script = """
        import os, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: os.write(1, b"x" * 65536)
    """
    with pytest.raises(ProgramFailed, match="more than 1000 bytes") as failed:
        python(script, stdout_limit=1000)

    assert len(failed.value.completed.stdout) <= 1000 + 64 * 1024
    assert failed.value.completed.code == -signal.SIGKILL


def test_a_program_that_ends_when_asked_is_not_killed() -> None:
    script = """
        import signal, sys, time
        def handler(*_): sys.stderr.write("cleaned up\\n"); sys.exit(0)
        signal.signal(signal.SIGINT, handler)
        print("ready", flush=True); time.sleep(30)
    """
    launcher = Launcher(Redactor())
    with pytest.raises(Cancelled):
        python(script, launcher=launcher, on_line=lambda _: launcher.cancel())


def test_a_process_left_behind_in_silence_does_not_delay_the_end() -> None:
    lines: list[str] = []
    completed = sh("sleep 30 & echo pid $$", on_line=lines.append)

    assert completed.duration < 2
    assert group_is_gone(told_pid(lines))


def test_a_process_left_behind_that_babbles_does_not_delay_the_end() -> None:
    completed = sh("yes >&2 & echo pid $$")

    assert completed.duration < 3
    assert group_is_gone(told_pid(completed.text.splitlines()))


# --- stopping ---


def test_cancel_comes_from_another_thread() -> None:
    launcher = Launcher(Redactor())
    lines: list[str] = []
    threading.Timer(0.3, launcher.cancel).start()
    started = time.monotonic()

    with pytest.raises(Cancelled, match="was stopped because the run is stopping"):
        sh("echo pid $$; sleep 30; true", launcher=launcher, on_line=lines.append)

    assert time.monotonic() - started < 2
    assert group_is_gone(told_pid(lines))


def test_cancel_stops_all_threads_and_nothing_starts_until_resume() -> None:
    launcher = Launcher(Redactor())
    outcomes: list[str] = []

    def work() -> None:
        try:
            run("sleep", "30", launcher=launcher)
        except Cancelled:
            outcomes.append("cancelled")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    launcher.cancel()
    for thread in threads:
        thread.join(BUDGET)

    assert outcomes == ["cancelled"] * 4
    with pytest.raises(Cancelled, match="was not started"):
        run("true", launcher=launcher)
    launcher.resume()
    assert run("true", launcher=launcher).code == 0


def test_what_a_listener_raises_comes_out_and_the_program_is_gone() -> None:
    class OddError(Exception):
        pass

    lines: list[str] = []

    def listen(line: str) -> None:
        lines.append(line)
        raise OddError

    with pytest.raises(OddError):
        # It has more to say while it is being stopped.
        sh("trap 'echo more; exit' INT; echo pid $$; while :; do sleep 0.05; done", on_line=listen)

    assert len(lines) == 1
    assert group_is_gone(told_pid(lines))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted(signal.SIGTERM)], ids=repr)
def test_a_signal_in_the_main_thread_leaves_nothing_running(
    error: BaseException, alarm: Callable[[float, BaseException], None]
) -> None:
    lines: list[str] = []
    alarm(0.4, error)

    with pytest.raises(type(error)):
        sh("echo pid $$; sleep 30 & sleep 30", on_line=lines.append)

    assert group_is_gone(told_pid(lines))


def test_a_second_signal_while_stopping_kills_at_once(alarm: Callable[[float, BaseException], None]) -> None:
    lines: list[str] = []

    def listen(line: str) -> None:
        lines.append(line)
        alarm(0.3, Interrupted(signal.SIGTERM))
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(Interrupted):
        sh("trap '' INT TERM; echo pid $$; while :; do sleep 0.1; done", on_line=listen)

    assert time.monotonic() - started < 2
    assert group_is_gone(told_pid(lines))


def test_a_signal_at_any_moment_of_the_start_leaves_nothing_running(
    alarm: Callable[[float, BaseException], None], tmp_path: Path
) -> None:
    # A name that no other process has.
    sleeper = tmp_path / "sleeper"
    sleeper.symlink_to(find("sleep", ENVIRON) or "")

    def is_interrupted_after(seconds: float) -> bool:
        try:
            alarm(seconds, Interrupted(signal.SIGINT))
            run(str(sleeper), "30")
        except Interrupted:
            return True
        return False

    assert all(is_interrupted_after(0.0001 + step * 0.00003) for step in range(100))

    assert not [
        directory.name
        for directory in Path("/proc").glob("[0-9]*")
        if read_or_nothing(directory / "cmdline").startswith(os.fsencode(sleeper))
    ]


def read_or_nothing(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_nothing_is_left_after_many_runs() -> None:
    def children() -> set[str]:
        files = Path("/proc/self/task").glob("*/children")
        return {child for file in files for child in file.read_text().split()}

    run("true")
    before = open_descriptors(), children()
    for number in range(100):
        with contextlib.suppress(Problem):
            run(("true", "false", "no-such-program")[number % 3], stdin=b"x" * (number % 2))

    assert (open_descriptors(), children()) == before


# --- what cannot be started ---


def test_a_missing_program_is_named_with_advice() -> None:
    with pytest.raises(ProgramMissing, match="`no-such-program` is not on the PATH") as missing:
        run("no-such-program", "argument")

    assert "sf doctor" in missing.value.hint


def test_an_empty_path_finds_nothing() -> None:
    with pytest.raises(ProgramMissing):
        run("true", environ={"PATH": ""})


@pytest.mark.parametrize("path", ["", ".", "bin", ":/nowhere", "/nowhere:"])
def test_programs_are_never_found_in_the_repository(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (tmp_path, tmp_path / "bin"):
        place.mkdir(exist_ok=True)
        executable(place / "planted", "#!/bin/sh\necho planted\n")
    monkeypatch.chdir(tmp_path)

    assert find("planted", {"PATH": path}) is None
    with pytest.raises(ProgramMissing):
        run("planted", environ={"PATH": path}, cwd=tmp_path)


def executable(path: Path, content: str, mode: int = stat.S_IRWXU) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def test_the_path_of_the_run_decides(tmp_path: Path) -> None:
    tool = executable(tmp_path / "tool", "#!/bin/sh\necho mine\n")
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    assert find("tool", environ) == tool
    assert find("tool", ENVIRON) is None
    assert run("tool", environ=environ).text == "mine\n"


def test_a_file_that_cannot_be_executed(tmp_path: Path) -> None:
    plain = executable(tmp_path / "plain", "#!/bin/sh\n", stat.S_IRUSR)

    with pytest.raises(ProgramMissing, match="cannot be run: Permission denied"):
        run(str(plain))
    with pytest.raises(ProgramMissing, match="is not on the PATH"):
        run("plain", environ={"PATH": str(tmp_path)})


def test_a_script_whose_interpreter_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match="cannot be run: No such file"):
        run(str(executable(tmp_path / "script", "#!/no/such/interpreter\n")))


def test_a_file_that_is_no_program_is_taken_for_a_script_as_shells_do(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match=r"ended with exit code 127: .*odd"):
        run(str(executable(tmp_path / "odd", "\x7f\x00odd")))


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_folder_to_run_in_that_is_none(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Problem, match=rf"`true` cannot run in the folder {tmp_path}/{kind}") as failed:
        run("true", cwd=tmp_path / kind)
    assert not isinstance(failed.value, ProgramMissing)


@pytest.mark.parametrize("argument", ["a\0b", "\ud800", "x" * 10_000_000], ids=["nul", "surrogate", "huge"])
def test_an_argument_that_no_program_can_get(argument: str) -> None:
    with pytest.raises(Problem, match="`true` cannot be started") as failed:
        run("true", argument)
    assert len(str(failed.value)) < 500


def test_an_environment_that_no_program_can_get() -> None:
    with pytest.raises(Problem, match="cannot be started"):
        run("true", environ={**ENVIRON, "A": "b\0c"})


@pytest.mark.slow
def test_a_program_that_ignores_int_and_term_is_killed_in_time() -> None:
    lines: list[str] = []
    started = time.monotonic()
    with pytest.raises(ProgramTimeout) as late:
        sh("trap '' INT TERM; echo pid $$; while :; do sleep 0.1; done", timeout=0.3, on_line=lines.append)

    assert 4.0 <= time.monotonic() - started < 0.3 + BUDGET
    assert late.value.completed.code == -signal.SIGKILL
    assert group_is_gone(told_pid(lines))


def test_descendants_that_ignore_signals_die_with_their_group() -> None:
    lines: list[str] = []
    with pytest.raises(ProgramTimeout):
        # The leader ends at once when asked; the others would not.
        sh(
            "echo pid $$; (trap '' INT TERM; sleep 30; sleep 30) & exec sleep 30",
            timeout=0.3,
            on_line=lines.append,
        )

    assert group_is_gone(told_pid(lines))
