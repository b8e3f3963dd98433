"""One run of the compose backend: what it was given, what it read, and what it did with that."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sf.backends.compose.afar import TlsMachine
from sf.backends.compose.attempt import Patience
from sf.backends.compose.deploy import Deployment, Origin
from sf.backends.compose.execution import Execution
from sf.backends.compose.fleet import Fleet
from sf.backends.compose.hosts import LocalMachine, SshMachine
from sf.backends.compose.kept import KeptModels
from sf.backends.compose.lookout import PULL_REQUEST
from sf.backends.compose.masking import Masking
from sf.backends.compose.model import Resolver
from sf.backends.compose.orphans import Terms
from sf.backends.compose.outlook import Outlook
from sf.backends.compose.plaintext import Plaintexts
from sf.backends.compose.planner import Planner
from sf.backends.compose.removal import Removal
from sf.backends.compose.side import Reader, Side
from sf.cache import Cache, cache_folder
from sf.changes.masking import KEY_VARIABLE, Fingerprints
from sf.ci.comparison import resolve_comparison
from sf.ci.context import Provider
from sf.ci.values import repository_identity
from sf.config import FILE_NAME, DockerConfig, load_config
from sf.models import (
    Finding,
    LifecyclePlan,
    LifecycleResult,
    Location,
    Problem,
    Severity,
)
from sf.process import ProgramMissing, find
from sf.tools import ansible, ssh
from sf.tools.compose import Compose
from sf.tools.docker import Engine, TlsEngine, certificate_folder, engine_socket
from sf.tools.git import Git
from sf.tools.sops import Sops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sf.backends.compose.hosts import Machine
    from sf.backends.compose.inventory import Host
    from sf.backends.compose.live import View
    from sf.ci.comparison import Comparison
    from sf.config import Config
    from sf.runtime.context import RuntimeContext

BACKEND: Final = "compose"
_STEERED: Final = Finding(
    code="hosts-steered",
    severity=Severity.DANGER,
    message="the change decides which host keys are trusted; it was planned with those of before",
    subject="docker.ssh",
    location=Location(FILE_NAME),
    hint="merge it only if the new keys were compared with those on the machines",
)

_SCRIPTED: Final = Finding(
    code="scripts-allowed",
    severity=Severity.DANGER,
    message="the change lets stacks run a deploy.sh of their own on the hosts",
    subject="docker.scripts",
    location=Location(FILE_NAME),
    hint="merge it only if everybody who may change a stack may also run programs on its hosts",
)


class Run:
    """One run on one repository. What it needs is made when first asked for."""

    def __init__(self, config: Config, context: RuntimeContext) -> None:
        self._config = config
        self._docker = config.docker
        self._context = context
        environ = context.environ
        self._variables = {name: environ[name] for name in self._docker.env if name in environ}
        for value in (environ.get(KEY_VARIABLE, ""), *self._variables.values()):
            context.redactor.register(value)
        self._masking = Masking(Fingerprints.from_environ(environ), self._variables)
        self._git = Git(context.launcher, context.repo_root, environ)
        on_laptop = context.ci.provider is Provider.LOCAL
        self._cache = Cache(cache_folder(environ, on_laptop=on_laptop))
        self._reader = Reader(self._git, self._docker, context, self._cache)
        private = context.workspace.private / "docker"
        private.mkdir(mode=0o700)
        self._compose = Compose(context.launcher, environ, private)
        self._fleet = Fleet(
            self._connect,
            stack_dir=Path(self._docker.stack_dir),
            variables=self._variables,
            at_rest=self._docker.secrets.at_rest,
            concurrency=self._docker.concurrency,
        )
        self._version = ""
        self._sides: tuple[Side, Side] | None = None
        self._comparison: Comparison | None = None
        self._outlook = Outlook()

    def check_programs(self) -> None:
        """Raises `Problem` for a program that is missing or too old."""
        self._version = self._compose.version()
        if self._docker.targets.inventory and find(ansible.PROGRAM, self._context.environ) is None:
            raise ProgramMissing(
                f"the program `{ansible.PROGRAM}` is not installed, and `docker.targets.inventory` is set",
                hint="install ansible-core",
            )

    def check_hosts(self) -> None:
        """Raises `Problem` when stacks cannot be deployed to a host. One that is lost fails its own only."""
        _, head = self.read()
        hosts = list({unit.host.name: unit.host for unit in head.units.values()}.values())
        self._require_access(hosts)
        self._fleet.check(hosts)

    def _require_access(self, hosts: Sequence[Host]) -> None:
        for host in hosts:
            if host.reading_only:
                raise Problem(
                    f"{host.name} is only reached at {host.engine}, where sf can look and cannot deploy: compose"
                    " has to run on the machine that owns the engine",
                    hint="let sf in over ssh: `docker_host: ssh://user@host`, or `ansible_host`, `ansible_user`",
                )
        distant = sorted(host.name for host in hosts if not host.local)
        if distant and not self._known_hosts:
            raise Problem(
                f"{', '.join(distant)} can only be reached over ssh, and no host key is known",
                hint="put what `sf docker trust` prints into a file of the repository, compare it with the keys on"
                " the machines, and name the file at `docker.ssh.known_hosts`",
            )

    def read(self) -> tuple[Side, Side]:
        """Both sides, read when first asked for."""
        if self._sides is None:
            context = self._context
            self._comparison = resolve_comparison(self._git, context.ci, base=context.base, head=context.head)
            head = self._reader.read(self._comparison.head_tree)
            same = self._comparison.base_tree == self._comparison.head_tree
            self._sides = (head if same else self._reader.read_before(self._comparison.base_tree), head)
        return self._sides

    def read_commit(self, revision: str) -> tuple[str, Side]:
        """The id of the commit that `revision` names, and what it asks for."""
        commit = self._git.resolve(revision)
        return commit, self._reader.read(self._git.tree_of(commit))

    def plan(self) -> LifecyclePlan:
        base, head = self.read()
        comparison = self._comparison
        assert comparison is not None  # noqa: S101 - `read` made it
        planner = Planner(
            base,
            head,
            resolver=self.resolver,
            masking=self._masking,
            ci=self._context.ci,
            repository=self.repository,
            repairs=self._docker.drift.tier2_action == "reconcile",
            asks_registries=self._docker.drift.images,
            terms=self._terms,
            at_rest=self._docker.secrets.at_rest,
            scripts=self._docker.scripts,
        )
        outlook = planner.plan(self._fleet, reaches_out=bool(self._known_hosts))
        self._outlook = outlook
        if self._before.ssh != self._docker.ssh:
            outlook.findings.append(_STEERED)
        if self._docker.scripts and not self._before.scripts:
            outlook.findings.append(_SCRIPTED)
        contents = {unit.stack.path: unit.folder.identity for unit in head.units.values()}
        if head.inventory.identity:
            contents[head.inventory.source] = head.inventory.identity
        return LifecyclePlan(
            mode=self._config.mode,
            backend=BACKEND,
            actions=tuple(outlook.actions),
            dry_run=self._context.dry_run,
            target=", ".join(self._docker.targets.selector.groups),
            repository=self.repository,
            commit=comparison.head,
            base=comparison.base or "",
            config_hash=self._config.digest,
            tools={"docker compose": self._version},
            contents=contents,
            findings=tuple(outlook.findings),
            unknown=tuple(outlook.unknown),
            fingerprint_key=self._masking.fingerprints.key_id,
        )

    def execute(self, plan: LifecyclePlan) -> LifecycleResult:
        """Do what `plan`, which this run made, says."""
        deadlines = self._config.deadlines
        owner = self.owner(plan.commit)
        deployment = Deployment(
            variables=self._variables,
            origin=Origin(repository=self.repository, commit=plan.commit, owner=owner),
            patience=Patience(wait=int(deadlines.action), hook=int(deadlines.hook), lock=int(deadlines.lock)),
            redactor=self._context.redactor,
            plaintexts=Plaintexts(self._sops),
            look_back=lambda record: self._reader.folder(record.commit, record.stack),
        )
        removal = Removal(
            owner=owner,
            lock=int(deadlines.lock),
            down=int(deadlines.action),
            prunes=self._terms.handling == "prune",
            redactor=self._context.redactor,
        )
        _, head = self.read()
        execution = Execution(
            head, self._outlook, self._fleet, self._context, deployment=deployment, removal=removal
        )
        return execution.run(plan)

    def close(self) -> None:
        """Let go of the hosts, and keep the cache within its bounds."""
        self._fleet.close()
        self._cache.prune()

    @property
    def _terms(self) -> Terms:
        drift = self._docker.drift
        needs_force = drift.orphan_action == "prune" and drift.prune_requires_confirmation
        return Terms(
            handling=drift.orphan_action,
            threshold=drift.orphan_threshold,
            root=self._docker.iac.path,
            repository=repository_identity(self._docker.repository) or self._docker.repository.lower(),
            declared=self._docker.targets.is_declared,
            confirmed=self._context.force or not needs_force,
        )

    def trust(self, names: Sequence[str]) -> str:
        """Lines of known_hosts(5) with the keys that the hosts of these names (none: all) show now.

        Raises `Problem` for a name that is not of the inventory, and for a host that shows none.
        """
        _, side = self.read_commit(self._context.head or "HEAD")
        hosts = side.inventory.hosts
        distant = [name for name, host in hosts.items() if not host.local]
        if unknown := sorted(set(names) - set(distant)):
            raise Problem(
                f"{unknown[0]} is no host of the inventory that is reached over ssh",
                hint=f"these are: {', '.join(distant)}" if distant else "none is",
            )
        places = dict.fromkeys(hosts[name].route.place for name in names or distant)
        context = self._context
        return "".join(
            self._fleet.work(list(places), lambda place: ssh.scan(context.launcher, context.environ, *place))
        )

    def reach(self, hosts: Sequence[Host]) -> dict[str, View]:
        """What each of `hosts` has. Raises `Problem` when one cannot be deployed to or read."""
        self._require_access(hosts)
        self._fleet.check(hosts)
        self._fleet.look(hosts)
        for problem in self._fleet.failures.values():
            raise problem
        return {host.name: self._fleet.view(host) for host in hosts}

    @cached_property
    def _ssh(self) -> ssh.Client:
        context = self._context
        if find(ssh.PROGRAM, context.environ) is None:
            raise ProgramMissing(
                f"the program `{ssh.PROGRAM}` is not installed, and hosts are reached over ssh",
                hint="install OpenSSH's client",
            )
        # A socket's path has to be short.
        private = context.workspace.private / "s"
        private.mkdir(mode=0o700)
        return ssh.Client(
            context.launcher,
            context.environ,
            private,
            known_hosts=self._known_hosts,
            redactor=context.redactor,
        )

    @cached_property
    def _sops(self) -> Sops:
        context = self._context
        private = context.workspace.private / "sops"
        private.mkdir(mode=0o700)
        return Sops(context.launcher, context.environ, context.redactor, private)

    @cached_property
    def _before(self) -> DockerConfig:
        """What decides whom we trust: a pull request does not get to say."""
        if self._context.ci.event not in PULL_REQUEST:
            return self._docker
        base, _ = self.read()
        data = self._reader.file(base.treeish, FILE_NAME)
        try:
            return load_config(data, environ=self._context.environ).docker
        except Problem:
            # There is nothing to go by, and a plan without hosts is still a plan.
            return DockerConfig()

    @cached_property
    def _known_hosts(self) -> str:
        """Lines of known_hosts(5). Raises `Problem` when the file that is named is not there."""
        named = self._before.ssh.known_hosts
        if not named or " " in named or "\n" in named:
            return named
        base, head = self.read()
        side = base if self._context.ci.event in PULL_REQUEST else head
        data = self._reader.file(side.treeish, named)
        if data is None:
            raise Problem(
                f"`docker.ssh.known_hosts` names {named}, and there is no such file in the repository",
                hint="commit it; `sf docker trust` prints what belongs in it",
                location=Location(named),
            )
        return data.decode("utf-8", "surrogateescape")

    def _connect(self, host: Host) -> Machine:
        if host.reading_only:
            folder = host.certificates or certificate_folder(self._context.environ)
            return TlsMachine(host.name, TlsEngine(host.engine, Path(folder), host=host.name))
        if not host.local:
            return SshMachine(host.name, self._ssh.connection(host.route))
        context = self._context
        engine = Engine(Path(host.socket) if host.socket else engine_socket(context.environ))
        environ = self._compose.deploying(engine.socket)
        return LocalMachine(host.name, engine, context.launcher, environ, Path(self._docker.stack_dir))

    def owner(self, commit: str) -> str:
        """Who this is, for somebody who has to wait for us."""
        return self._context.ci.run_url or f"a run of {self.repository or 'sf'} at {commit[:12]}"

    @cached_property
    def resolver(self) -> Resolver:
        scratch = self._context.workspace.scratch / "models"
        scratch.mkdir(mode=0o700)
        kept = KeptModels(self._cache, self._version, self._variables)
        return Resolver(self._compose, scratch, self._variables, kept)

    @property
    def repository(self) -> str:
        """The identity of the repository; empty when it has no remote."""
        return self._context.ci.repository or repository_identity(self._git.remote_url())
