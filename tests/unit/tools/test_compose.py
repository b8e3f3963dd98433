from __future__ import annotations

import json
from pathlib import Path

import pytest

from sf.models import Problem
from sf.process import Completed, Launcher, ProgramMissing
from sf.redact import Redactor
from sf.tools.compose import Compose, Project, explain, up_command

VERSION = "case $* in *version*) echo {};; esac\n"


def fake_docker(tmp_path: Path, script: str) -> Compose:
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    private = tmp_path / "private"
    private.mkdir()
    environ = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path / "home"),
        "SECRET": "swordfish",
    }
    return Compose(Launcher(Redactor()), environ, private)


@pytest.mark.parametrize("said", ["2.40.3-3", "v2.40.3", "2.40.3+ds1"])
def test_the_version_is_the_release_without_a_packagers_mark(tmp_path: Path, said: str) -> None:
    assert fake_docker(tmp_path, VERSION.format(said)).version() == "2.40.3"


def test_an_old_compose_a_missing_plugin_and_a_missing_docker_are_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"docker compose 1\.29\.2 is too old"):
        fake_docker(tmp_path, VERSION.format("1.29.2")).version()
    (tmp_path / "bin/docker").write_text(
        "#!/bin/sh\necho \"docker: 'compose' is not a docker command\" >&2\nexit 1\n"
    )
    compose = Compose(Launcher(Redactor()), {"PATH": f"{tmp_path}/bin:/bin"}, tmp_path / "private")
    with pytest.raises(Problem, match="is not a docker command"):
        compose.version()
    with pytest.raises(ProgramMissing, match="`docker` is not installed"):
        Compose(Launcher(Redactor()), {"PATH": "/nonexistent"}, tmp_path).version()


def test_resolving_sees_nothing_of_the_job_but_what_is_given(tmp_path: Path) -> None:
    config = tmp_path / "home/.docker"
    (config / "cli-plugins").mkdir(parents=True)
    (config / "config.json").write_text(
        json.dumps(
            {"auths": {"r": {"auth": "swordfish"}}, "cliPluginsExtraDirs": ["/plugins"], "credsStore": "x"}
        )
    )
    script = f"#!/bin/sh\nenv > {tmp_path}/seen; cp $DOCKER_CONFIG/config.json {tmp_path}; echo '{{}}'\n"
    # The plugin is started itself: the docker command would ask every other one for its name first.
    compose = fake_docker(tmp_path, "exit 9")
    (config / "cli-plugins/docker-compose").write_text(script)
    (config / "cli-plugins/docker-compose").chmod(0o755)
    folder = tmp_path / "stack"
    folder.mkdir()
    compose.resolve(
        Project(folder=folder, files=("compose.yaml",)), home=tmp_path / "h", variables={"GIVEN": "1"}
    )
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert "swordfish" not in (tmp_path / "seen").read_text()
    assert seen["GIVEN"] == "1"
    assert seen["PWD"] == str(folder)
    assert seen["HOME"] == str(tmp_path / "h")
    assert not Path(seen["DOCKER_HOST"].removeprefix("unix://")).exists()
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "cliPluginsExtraDirs": ["/plugins", str(config / "cli-plugins")]
    }


def test_a_plugin_that_is_not_where_docker_looks_is_left_to_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf.tools.compose._PLUGIN_PLACES", ())
    compose = fake_docker(tmp_path, 'echo "{\\"name\\": \\"$*\\"}"\n')
    project = Project(folder=tmp_path, files=("c.yaml",))
    said = compose.resolve(project, home=tmp_path, variables={})
    assert said == {"name": "compose --file c.yaml config --format json"}


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("", "it ended with exit code 1 and said nothing"),
        ("yaml: line 2: bad\n", "yaml: line 2: bad"),
        ('error\ntime="x" level=warning msg="something else"\n', "error"),
        ("open /x/stack/a/b.env: no such file", "open a/b.env: no such file"),
        ("stat /x/stack: no", "stat .: no"),
    ],
)
def test_the_reason_is_the_last_thing_said_that_is_no_warning(stderr: str, said: str) -> None:
    completed = Completed(argv=("docker",), code=1, stdout=b"", stderr=stderr, duration=0)
    assert explain(completed, Path("/x/stack")) == said


def test_a_service_cannot_become_an_option() -> None:
    project = Project(folder=Path("/x"), files=("a.yaml", "b.yaml"), name="p")
    assert up_command(project, wait=60, services=["--privileged"])[-3:] == ["--no-deps", "--", "--privileged"]
    assert up_command(project, wait=60) == [
        *("docker", "compose", "--project-name", "p", "--file", "a.yaml", "--file", "b.yaml"),
        *("up", "--detach", "--wait", "--wait-timeout", "60", "--remove-orphans"),
    ]
