"""What a reader is told of stacks that the repository no longer has. Renew with ``pytest --update-golden``."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from sf.backends.compose.clashes import Claim
from sf.backends.compose.inventory import Host
from sf.backends.compose.model import Model, Service
from sf.backends.compose.orphans import Orphan, Terms, doubts, handle
from sf.backends.compose.record import Record as Deployment
from sf.backends.compose.renaming import renamings
from sf.backends.compose.side import Side, Unit
from sf.backends.compose.stack import Kind, Stack
from sf.backends.compose.tree import Folder
from sf.console import unstyled
from sf.models import (
    ActionResult,
    Change,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    ObjectChange,
    Record,
    Severity,
)
from sf.report import FORMATS, terminal
from sf.tools.docker import Container

if TYPE_CHECKING:
    from collections.abc import Callable

MINE = "github.com/acme/estate"
TERMS = Terms(
    handling="down", threshold=5, root="docker-compose", repository=MINE, declared=True, confirmed=True
)


def container(project: str, service: str, state: str = "running") -> Container:
    return Container(
        id="1" * 64,
        name=f"{project}-{service}-1",
        project=project,
        service=service,
        state=state,
        health="",
        image="sha256:2",
        config_hash="3",
        labels=MappingProxyType({}),
    )


def orphan(host: str, name: str, *services: str, held: str = "", message: str = "") -> Orphan:
    path = f"docker-compose/{host}/{name}"
    return Orphan(
        host=host,
        project=name,
        record=Deployment(
            repository=MINE,
            host=host,
            stack=path,
            project=name,
            commit="4f5e6d7c8b9a4f5e6d7c8b9a4f5e6d7c8b9a4f5e",
            salt="",
            inputs="",
            complete=True,
        ),
        containers=tuple(container(name, service) for service in services),
        volumes=(f"{name}_data",) if "db" in services else (),
        message=message or f"it was deployed from {path}, which is not for {host} any more",
        held=held,
    )


def unit(host: str, name: str) -> Unit:
    path = f"docker-compose/{host}/{name}"
    return Unit(
        host=Host(name=host),
        stack=Stack(scope=host, name=name, path=path, kind=Kind.COMPOSE),
        folder=Folder(path, {}, (), lambda _oids: {}),
    )


WEB = unit("web1", "shop")
HEAD = Side(units={WEB.name: WEB}, stacks=(WEB.stack,), configured=True)
ORPHANS = [
    orphan("web1", "wiki", "app", "db"),
    orphan(
        "web1",
        "notes",
        "notes",
        message="docker-compose/web1/notes was deployed here, and is for web2 now; volumes do not move",
        held="this run is the first that brings it up on web2",
    ),
]


def model(project: str, volume: str) -> Model:
    fields = {
        ("volumes",): [{"type": "volume", "source": "data", "target": "/var/lib/data"}],
        ("volume data", "name"): volume,
    }
    db = Service(name="db", fields=fields, files={}, inline={})
    return Model(project=project, files=("compose.yaml",), services={"db": db})


def reported(orphans: list[Orphan], *findings: Finding, terms: Terms = TERMS, result: bool = False) -> Record:
    """The record of a run on those orphans; with `result` everything that was planned was done."""
    doubtful = doubts(terms, HEAD, findings, repository=MINE, number=len(orphans), blind=())
    handling = handle(orphans, {}, terms, doubtful, seen=["web1", "web2"])
    plan = LifecyclePlan(
        mode="docker",
        backend="compose",
        actions=tuple(handling.actions.values()),
        repository=MINE,
        findings=(*findings, *handling.findings),
    )
    removed = ActionResult(
        name="web1/wiki",
        success=True,
        duration=4.2,
        message="removed app, db; its volumes stay: wiki_data",
        command="docker compose --project-name wiki down --remove-orphans",
        objects=(ObjectChange(change=Change.REMOVE, kind="service", name="app"),),
    )
    return Record(
        mode="docker",
        backend="compose",
        dry_run=not result,
        plan=plan,
        result=LifecycleResult(actions=(removed,)) if result else None,
    )


def with_terms(**changed: object) -> Terms:
    return Terms(**{**{name: getattr(TERMS, name) for name in Terms.__dataclass_fields__}, **changed})


STATES = {
    "orphans-reported": lambda: reported(ORPHANS, terms=with_terms(handling="report")),
    "orphans-planned": lambda: reported(ORPHANS),
    "orphans-taken-down": lambda: reported(ORPHANS, result=True),
    "orphans-doubtful": lambda: reported(
        ORPHANS, terms=with_terms(handling="prune", threshold=1, repository="", confirmed=False)
    ),
    "names-change": lambda: reported(
        [],
        *renamings(WEB, model("shop", "shop_data"), model("store", "store_data")),
        *renamings(WEB, model("shop", "shop_data"), model("shop", "shop_store")),
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_terminal(state: str, golden: Callable[[str, bytes], None]) -> None:
    text = unstyled(terminal.render(STATES[state]()))
    assert max(map(len, text.splitlines())) <= 80
    golden(f"reports/{state}.txt", text.encode())


@pytest.mark.parametrize("state", STATES)
def test_summary(state: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"reports/{state}.md", FORMATS["summary.md"](STATES[state]()) or b"")


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (("port", "80/tcp", ""), ("port", "80/tcp", "127.0.0.1"), True),
        (("port", "80/tcp", "0.0.0.0"), ("port", "80/tcp", "10.0.0.1"), True),
        (("port", "80/tcp", "::"), ("port", "80/tcp", "10.0.0.1"), True),
        (("port", "80/tcp", "10.0.0.2"), ("port", "80/tcp", "10.0.0.1"), False),
        (("port", "80/tcp", ""), ("port", "80/udp", ""), False),
        (("container name", "80/tcp", ""), ("port", "80/tcp", ""), False),
    ],
)
def test_what_excludes_what(one: tuple[str, str, str], other: tuple[str, str, str], *, clash: bool) -> None:
    first, second = (
        Claim(kind=kind, value=value, service="a", address=address) for kind, value, address in (one, other)
    )
    assert (first.excludes(second), second.excludes(first)) == (clash, clash)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, []),
        (5, []),
        (6, ["6 are more than `docker.drift.orphan_threshold` allows (5)"]),
        (12, ["12 are more than `docker.drift.orphan_threshold` allows (5)"]),
    ],
)
def test_orphans_are_counted_right(number: int, said: list[str]) -> None:
    assert doubts(TERMS, HEAD, (), repository=MINE, number=number, blind=()) == said


def test_everything_that_speaks_against_it_is_named() -> None:
    terms = with_terms(repository="github.com/acme/other", declared=False, confirmed=False)
    error = Finding(code="x", severity=Severity.ERROR, message="x")
    assert doubts(terms, Side(), [error], repository="", number=9, blind=["b", "a"]) == [
        "the commit has no .stagefreight.yml",
        "there is no stack at all below docker-compose",
        "`docker.repository` is github.com/acme/other, and this repository is one without a remote",
        "`docker.targets.selector` does not say which hosts take part",
        "the plan has errors",
        "a, b could not be seen",
        "9 are more than `docker.drift.orphan_threshold` allows (5)",
        "`prune` has to be confirmed by `sf reconcile --force`",
    ]
