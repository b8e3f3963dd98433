"""``.stagefreight.yml``: the keys sf reads, their defaults, and errors that a person understands.

Names and defaults are those of StageFreight 0.5, so a repository keeps one file for both. Sections of its other
features are accepted and ignored; inside the sections below an unknown key is an error, because a misspelt key
that silently does nothing is worse. A key without a value counts as left out.

Each key can be overridden by an environment variable named after its place, ``SF_CONFIG_`` and the keys in capital
letters with two underscores between them: ``SF_CONFIG_GITOPS__CLUSTER__SERVER``. Keys that hold text take the
value as it is, all others read it as YAML (``true``, ``5``, ``[a, b]``). An empty variable counts as not set.
"""

from __future__ import annotations

import difflib
import hashlib
import posixpath
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from sf import documents
from sf.models import Location, Problem, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

FILE_NAME: Final = ".stagefreight.yml"
ENV_PREFIX: Final = "SF_CONFIG_"
MAX_BYTES: Final = 256 * 1024
MAX_PROBLEMS: Final = 20
MAX_SECONDS: Final = 24 * 3600
MAX_LABEL: Final = 100
STEERING: Final = (
    ("gitops", "cluster"),
    ("gitops", "oidc"),
    ("gitops", "remote_bases"),
    ("docker", "ssh"),
    ("docker", "scripts"),
)
"""Keys, and sections with all their keys, that decide where credentials go and what may run with them."""

_DURATION: Final = re.compile(r"(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,5})s)?")
_CLUSTER: Final = re.compile(r"[A-Za-z](?:[-A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SWITCH_WORDS: Final = {
    **dict.fromkeys(("y", "Y", "yes", "on"), True),
    **dict.fromkeys(("n", "N", "no", "off"), False),
}
_REMOTE_BASE: Final = re.compile(
    r"(?:(?:https?|ssh)://)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._~+@=-]+)*"
)
_START: Final = (
    "write at least `{lifecycle: {mode: gitops}, gitops: {}}` or `{lifecycle: {mode: docker}, docker: {}}`"
)


def _repository_path(text: str) -> str:
    if text.startswith("/"):
        raise ValueError("must be relative to the root of the repository, without a leading `/`")
    if ".." in text.split("/"):
        raise ValueError("must stay inside the repository, without `..`")
    return _printable(posixpath.normpath(text) if text else text)


def _known_hosts(text: str) -> str:
    # A line of known_hosts(5) has at least three words, and the path of a file none of its blanks.
    return text if any(character in text for character in " \n") else _repository_path(text)


def _host_path(text: str) -> str:
    if not text.startswith("/") or ".." in text.split("/"):
        raise ValueError("must be an absolute path without `..`")
    return _printable(posixpath.normpath(text))


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


def _label(text: str) -> str:
    if len(text) > MAX_LABEL:
        raise ValueError(f"must have at most {MAX_LABEL} characters")
    return _printable(text)


def _kubeconfig_path(text: str) -> str:
    return _printable(text) if text.startswith(("/", "~/")) else _repository_path(text)


def _cluster_name(text: str) -> str:
    if not _CLUSTER.fullmatch(text):
        raise ValueError(
            "must be a name of letters, digits and hyphens, at most 63, that starts with a letter:"
            " it becomes the prefix of environment variables"
        )
    return text


def _https_url(text: str) -> str:
    problem = "must be an https URL like `https://10.0.0.1:6443`, without user, query or fragment"
    try:
        url = urlsplit(_printable(text))
        port_is_fine = url.port is None or url.port > 0
    except ValueError:
        raise ValueError(problem) from None
    if url.scheme != "https" or not url.hostname or "@" in url.netloc or url.query or url.fragment:
        raise ValueError(problem)
    if not port_is_fine or " " in text:
        raise ValueError(problem)
    return text.rstrip("/")


def _remote_base(text: str) -> str:
    base = text.removesuffix("/").removesuffix(".git")
    if not _REMOTE_BASE.fullmatch(base) or not {".", ".."}.isdisjoint(base.split("/")):
        raise ValueError(
            "must be the beginning of an address like `github.com/fluxcd` or `https://example.com/charts`,"
            " without user and query"
        )
    scheme, mark, rest = base.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.lower()}{slash}{path}"


def _variable_name(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise ValueError("must be the name of an environment variable: letters, digits and underscores")
    return text


def _seconds(value: object) -> float:
    problem = "must be a duration of at most 24h: seconds, or a text like `90s`, `10m` or `1h30m`"
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
        value = hours * 3600 + minutes * 60 + seconds
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MAX_SECONDS:
        raise ValueError(problem)
    return float(value)


def _switch(value: object) -> object:
    if isinstance(value, str):
        return _SWITCH_WORDS.get(value, value)
    return value


Switch = Annotated[bool, BeforeValidator(_switch)]
"""A boolean. Like StageFreight's reader it also takes ``yes`` and ``no``, ``on`` and ``off``."""
RepositoryPath = Annotated[str, AfterValidator(_repository_path), Field(json_schema_extra={"format": "path"})]
KubeconfigPath = Annotated[str, AfterValidator(_kubeconfig_path), Field(json_schema_extra={"format": "path"})]
HostPath = Annotated[str, AfterValidator(_host_path), Field(json_schema_extra={"format": "path"})]
ClusterName = Annotated[
    str, AfterValidator(_cluster_name), Field(json_schema_extra={"pattern": f"^{_CLUSTER.pattern}$"})
]
HttpsUrl = Annotated[str, AfterValidator(_https_url), Field(json_schema_extra={"format": "uri"})]
VariableName = Annotated[
    str, AfterValidator(_variable_name), Field(json_schema_extra={"pattern": f"^{_VARIABLE.pattern}$"})
]
Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(
        json_schema_extra={
            "type": ["number", "string"],
            "exclusiveMinimum": 0,
            "examples": ["90s", "10m", 600],
        }
    ),
]
"""Seconds, greater than 0 and at most `MAX_SECONDS`; in the file also text like ``10m``."""


class Section(BaseModel):
    """A mapping in the file. ``ignored`` names the keys in it that only StageFreight reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
    ignored: ClassVar[frozenset[str]] = frozenset()


class LifecycleConfig(Section):
    """What kind of repository this is."""

    ignored: ClassVar[frozenset[str]] = frozenset({"preset"})

    mode: Literal["gitops", "docker"]
    """`gitops`: Flux Kustomizations for a Kubernetes cluster. `docker`: compose stacks for Docker hosts."""


class KubeconfigConfig(Section):
    """A kubeconfig of yours that says where the cluster is and who you are, instead of `server` and tokens."""

    path: KubeconfigPath = ""
    """File to take it from. A relative path is in the repository, `~/` is your home."""

    variable: VariableName = ""
    """Environment variable to take it from, in base64."""

    context: Annotated[str, AfterValidator(_printable)] = ""
    """Context to use. Left out, the current one. With neither file nor variable, it is one that kubectl knows."""

    @property
    def is_used(self) -> bool:
        return bool(self.path or self.variable or self.context)

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> KubeconfigConfig:
        if self.path and self.variable:
            raise ValueError("has a `path` and a `variable`, and can come from only one of them")
        return self


class ClusterConfig(Section):
    """The Kubernetes cluster that Flux runs in. Left out, plans are made without looking at a cluster."""

    ignored: ClassVar[frozenset[str]] = frozenset({"exposure"})

    name: ClusterName
    """Name of the cluster. In capitals, with `_` for `-`, it begins the variables that hold its CA and token."""

    server: HttpsUrl = ""
    """URL of the API server."""

    ca: str = ""
    """Certificates (PEM) that sign the API server's. The variables `<NAME>_CA_FILE` and `<NAME>_CA_B64` win."""

    kubeconfig: KubeconfigConfig = KubeconfigConfig()

    @model_validator(mode="after")
    def _can_be_found(self) -> ClusterConfig:
        if not (self.server or self.kubeconfig.is_used):
            raise ValueError("needs a `server`, or a `kubeconfig` that has one")
        return self

    @property
    def env_prefix(self) -> str:
        """The name as it begins environment variables: ``my-cluster`` gives ``MY_CLUSTER``."""
        return self.name.upper().replace("-", "_")


class OidcConfig(Section):
    """How the CI job proves to the cluster who it is."""

    audience: str = ""
    """Audience of the token that is requested from GitHub or Forgejo. Left out, none is requested."""

    variable: VariableName = "SF_ID_TOKEN"
    """Variable that holds the token of a GitLab job: its name under `id_tokens`."""


class GitopsConfig(Section):
    """Mode `gitops`."""

    ignored: ClassVar[frozenset[str]] = frozenset({"preset"})

    backend: str = "flux"
    """The program that applies the repository."""

    path: RepositoryPath = ""
    """Folder the cluster is synchronised from. Left out, it is found from Flux's own files in the repository."""

    source_root: RepositoryPath = ""
    """Folder that is the root of the source, when Flux reads an artifact made of a part of the repository."""

    remote_bases: Annotated[
        tuple[Annotated[str, AfterValidator(_remote_base)], ...], Field(strict=False)
    ] = ()
    """Where remote bases may come from: beginnings of addresses, such as `github.com/fluxcd`. Never for forks."""

    cluster: ClusterConfig | None = None
    oidc: OidcConfig = OidcConfig()

    concurrency: Annotated[int, Field(ge=1)] = 20
    """How many Kustomizations are reconciled at a time. Flux itself has a limit of its own."""

    drift: Switch = False
    """Whether plans compare each rendered object with the one in the cluster. That takes the right to patch it."""


class SelectorConfig(Section):
    """Which hosts of the inventory take part."""

    groups: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Groups of the inventory whose hosts take part. Left out, all hosts do."""

    hosts: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Hosts of the inventory that take part, beside those of the groups."""

    def __bool__(self) -> bool:
        return bool(self.groups or self.hosts)


class TargetsConfig(Section):
    """Where the stacks run."""

    source: Literal["ansible", "inline", "docker-context"] = "ansible"
    """Where the hosts stand: in the file `inventory`, below `hosts`, or in the contexts of the docker command."""

    inventory: RepositoryPath = ""
    """Inventory file in the repository. Left out, stacks are for the local Docker Engine."""

    hosts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Hosts by name, each with the facts that an inventory would have, and its `groups`."""

    selector: SelectorConfig = SelectorConfig()

    @property
    def is_local(self) -> bool:
        """Whether there is no inventory, so that this machine is the only host."""
        return self.source == "ansible" and not self.inventory

    @property
    def is_declared(self) -> bool:
        """Whether it says which hosts take part, as opposed to whatever the inventory happens to hold."""
        return self.is_local or self.source == "inline" or bool(self.selector)

    @model_validator(mode="after")
    def _fit_together(self) -> TargetsConfig:
        if self.source == "inline" and not self.hosts:
            raise ValueError("has the source `inline`, but no `hosts`")
        if self.source != "inline" and self.hosts:
            raise ValueError(f"has `hosts`, but the source is `{self.source}` and not `inline`")
        if self.source != "ansible" and self.inventory:
            raise ValueError(f"has an `inventory`, but the source is `{self.source}` and not `ansible`")
        if self.is_local and self.selector:
            raise ValueError("selects groups, but has no `inventory` to find them in")
        return self


class IacConfig(Section):
    """Where the stacks are."""

    path: RepositoryPath = "docker-compose"
    """Folder with the stacks, as `<path>/<host or group>/<stack>/`."""


class SecretsConfig(Section):
    """How encrypted files are decrypted."""

    provider: Literal["sops"] = "sops"
    """Program that decrypts."""

    at_rest: Literal["disk", "tmpfs"] = "disk"
    """Where decrypted files that containers mount stand: on the host's disk, or in its memory until it reboots."""


class DriftConfig(Section):
    """What happens to what runs otherwise than the repository says."""

    tier2_action: Literal["report", "reconcile"] = "report"
    """What to do with a stack that was changed on its host."""

    images: Switch = False
    """Whether to ask registries if image tags moved. What moved is then pulled and brought up."""

    orphan_action: Literal["report", "down", "prune"] = "report"
    """What to do with a stack that is gone from the repository: report it, stop it, or also remove its files."""

    orphan_threshold: Annotated[int, Field(ge=0)] = 5
    """More orphans than this are only reported, whatever `orphan_action` says."""

    prune_requires_confirmation: Switch = True
    """Whether `prune` needs `--force`."""


class SshConfig(Section):
    """How hosts of the inventory are reached that are not the machine sf runs on."""

    known_hosts: Annotated[str, AfterValidator(_known_hosts)] = ""
    """Public keys of the hosts: a file in the repository, or its lines. `sf docker trust` prints them."""


class DockerConfig(Section):
    """Mode `docker`."""

    ignored: ClassVar[frozenset[str]] = frozenset({"preset"})

    backend: str = "compose"
    """The program that runs the stacks."""

    repository: str = ""
    """Identity of this repository, such as `github.com/acme/estate`. Without it, orphans are only reported."""

    targets: TargetsConfig = TargetsConfig()
    iac: IacConfig = IacConfig()
    secrets: SecretsConfig = SecretsConfig()
    drift: DriftConfig = DriftConfig()
    ssh: SshConfig = SshConfig()

    stack_dir: HostPath = "/opt/stagefreight/stacks"
    """Folder on every host that holds the deployed stacks."""

    env: Annotated[tuple[VariableName, ...], Field(strict=False)] = ()
    """Environment variables of the job that compose files may use. All others are invisible to them."""

    scripts: Switch = False
    """Whether stacks may bring a `deploy.sh`, which then runs when they are deployed."""

    concurrency: Annotated[int, Field(ge=1)] = 8
    """How many hosts are worked on at a time. Stacks of one host follow each other."""


class ReportConfig(Section):
    """Where a run tells what it found, beside its files."""

    comment: Literal["auto", "off"] = "auto"
    """Whether a pull or merge request gets a comment: `auto` where there is a token for it, or never."""

    label: Annotated[str, AfterValidator(_label)] = ""
    """Tells two runs over the same target apart. Each label has a comment and an issue of its own."""

    drift_issue: bool = False
    """Whether a scheduled run keeps an issue open for as long as what is running differs from the repository."""


class DeadlinesConfig(Section):
    """After how long something is stopped and counts as failed."""

    program: Duration = 120.0
    """One run of a program that renders, such as `kustomize`."""

    action: Duration = 600.0
    """One action of the plan, such as deploying a stack until it is healthy."""

    run: Duration = 3600.0
    """All actions of mode `gitops` together."""

    hook: Duration = 300.0
    """One run of `pre.sh` or `post.sh` of a stack."""

    lock: Duration = 300.0
    """Waiting for another deployment to the same host to end."""


class Config(BaseModel):
    """The configuration of one repository. Sections that are not listed belong to StageFreight and are ignored."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, title="StageFreight configuration for sf"
    )

    lifecycle: LifecycleConfig
    gitops: GitopsConfig = GitopsConfig()
    docker: DockerConfig = DockerConfig()
    report: ReportConfig = ReportConfig()
    deadlines: DeadlinesConfig = DeadlinesConfig()

    _approved: Config | None = PrivateAttr(default=None)
    """The configuration as it was written, where a run does not go by all of it."""

    @property
    def mode(self) -> Literal["gitops", "docker"]:
        return self.lifecycle.mode

    @property
    def backend(self) -> str:
        return self._active.backend

    @property
    def digest(self) -> str:
        """sha256 (hex) over what decides the plan: the mode and the values of its section that are not defaults.

        Ignored sections, deadlines and keys that a later version adds do not change it, nor does a kubeconfig:
        it is about who looks, as whether it is looked for drift is about how closely. How many hosts are worked on
        at a time is about how long it takes. What a run went by does not matter (`steered_by`).
        """
        if self._approved is not None:
            return self._approved.digest
        aside: dict[str, Any] = {"cluster": {"kubeconfig"}, "concurrency": True}
        if self.mode == "gitops":
            aside["drift"] = True
        values = self._active.model_dump(mode="json", exclude_defaults=True, exclude=aside)
        return hashlib.sha256(canonical_json({"mode": self.mode, self.mode: values})).hexdigest()

    @property
    def steering_files(self) -> tuple[str, ...]:
        """The files of the repository that decide as `STEERING` does, because such a key names them."""
        cluster, known_hosts = self.gitops.cluster, self.docker.ssh.known_hosts
        kubeconfig = cluster.kubeconfig.path if cluster and self.mode == "gitops" else ""
        named = [
            "" if kubeconfig.startswith(("/", "~/")) else kubeconfig,
            known_hosts if self.mode == "docker" and not any(one in known_hosts for one in " \n") else "",
        ]
        return tuple(filter(None, named))

    def steered_by(self, other: Config | None) -> Config:
        """A copy that has the keys of `STEERING` from `other`, or their defaults. Its digest stays."""
        sections: dict[str, Section] = {}
        for name, key in STEERING:
            section: Section = sections.get(name) or getattr(self, name)
            sections[name] = section.model_copy(update={key: _value(other, (name, key))})
        copy = self.model_copy(update=sections)
        copy._approved = self  # noqa: SLF001 - it is of this class
        return copy

    @property
    def _active(self) -> GitopsConfig | DockerConfig:
        return self.gitops if self.mode == "gitops" else self.docker


def load_config(
    data: bytes | None, *, path: str = FILE_NAME, environ: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """The configuration in `data`, overridden by `environ`; `None` when there is no such file.

    Raises `Problem` for the first thing that is wrong; `check_config` finds the others too.
    """
    config, problems = _Source(data, path, environ).read()
    if config is not None:
        return config
    first, others = problems[0], len(problems) - 1
    if not others:
        raise first
    more = f" (and {others} more {'problem' if others == 1 else 'problems'})"
    raise Problem(first.message + more, hint=first.hint, location=first.location)


def check_config(
    data: bytes | None, *, path: str = FILE_NAME, environ: Mapping[str, str] = MappingProxyType({})
) -> list[Problem]:
    """What is wrong with the configuration, in the order of the file; empty when nothing is.

    Ends after about `MAX_PROBLEMS`; nobody reads more.
    """
    try:
        return _Source(data, path, environ).read()[1]
    except Problem as problem:
        return [problem]


def steering_differences(one: Config, other: Config | None) -> list[str]:
    """The keys of the mode of `one` that steer and are not the same in both; None has their defaults."""
    return [
        ".".join(keys)
        for keys, _, _ in _keys(Config)
        if keys[:2] in STEERING and keys[0] == one.mode and _value(one, keys) != _value(other, keys)
    ]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) with which editors complete and check the file."""
    schema = Config.model_json_schema(mode="validation")
    schema["additionalProperties"] = True
    for model in (LifecycleConfig, ClusterConfig, GitopsConfig, DockerConfig):
        properties = schema["$defs"][model.__name__]["properties"]
        properties.update(
            {key: {"description": "Read by StageFreight only."} for key in sorted(model.ignored)}
        )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:sf:config", **schema}


def reference() -> str:
    """Every key with its type, default, variable and meaning, as a Markdown table."""
    rows = ["| Key | Type | Default | Environment variable | Meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{'.'.join(keys)}` | {_type_name(model, keys[-1])} | {_default(field)}"
        f" | `{_variable(keys)}` | {field.description} |"
        for keys, model, field in _keys(Config)
    ]
    return "\n".join(rows) + "\n"


class _Source:
    """The values of the file and of the environment, and where each of them comes from.

    Raises `Problem` for what is not YAML, not a mapping or not a known variable.
    """

    def __init__(self, data: bytes | None, path: str, environ: Mapping[str, str]) -> None:
        self._data = data or b""
        self._path = path
        self._variables: dict[tuple[str, ...], str] = {}
        loaded = documents.load(self._data, path=path, max_bytes=MAX_BYTES)
        if not isinstance(loaded, dict | None):
            raise Problem(
                f"a configuration is a mapping of sections, and this is {_described(loaded)}",
                hint=_START,
                location=documents.locate(self._data, (), path=path),
            )
        self._values: dict[str, Any] = loaded or {}
        self._override(environ)
        if not self._values:
            missing = "there is no such file" if data is None else "this file is empty"
            raise Problem(missing, hint=_START, location=Location(path))

    def read(self) -> tuple[Config | None, list[Problem]]:
        """The configuration, or what is wrong with it."""
        problems = [self._misspelt(*pair) for pair in self._near_sections()]
        try:
            config = Config.model_validate(_read_here(self._values, Config))
        except ValidationError as error:
            found = error.errors(include_url=False)
            problems += [self._problem(details) for details in found[:MAX_PROBLEMS]]
            return None, sorted(problems, key=lambda problem: _order(problem.location, self._path))
        if config.mode not in self._values and not problems:
            problems.append(self._no_section(config.mode))
        return (None, problems) if problems else (config, [])

    def _near_sections(self) -> Iterator[tuple[str, str]]:
        """Sections that are not ours, and hardly another feature's: they are one or two letters off."""
        longest = max(map(len, Config.model_fields)) + 2
        for name in (name for name in self._values if len(name) <= longest):
            close = difflib.get_close_matches(name, Config.model_fields, n=1, cutoff=0.8)
            if close and close[0] != name and close[0] not in self._values:
                yield name, close[0]

    def _misspelt(self, name: str, meant: str) -> Problem:
        return Problem(
            f"`{name}` is not a section that exists",
            hint=f"did you mean `{meant}`?",
            location=self._location((name,), key=True),
        )

    def _no_section(self, mode: str) -> Problem:
        return Problem(
            f"`lifecycle.mode` is `{mode}`, but there is no section `{mode}`",
            hint=f"add the section; `{mode}: {{}}` takes all defaults",
            location=self._location(("lifecycle", "mode")),
        )

    def _override(self, environ: Mapping[str, str]) -> None:
        known = {_variable(keys): (keys, field) for keys, _, field in _keys(Config)}
        for name in sorted(environ):
            text = environ[name]
            if not name.startswith(ENV_PREFIX) or not text:
                continue
            if name not in known:
                raise Problem(
                    "there is no key for this environment variable",
                    hint=_nearest(name, known, "`sf config schema` lists all keys"),
                    location=Location(name),
                )
            keys, field = known[name]
            value = text if _holds_text(field) else documents.load(text, path=name)
            if _put(self._values, keys, value):
                self._variables[keys] = name

    def _problem(self, details: ErrorDetails) -> Problem:
        keys = details["loc"]
        name = ".".join(_short(str(key)) for key in keys)
        kind, value = details["type"], details["input"]
        if kind == "extra_forbidden":
            names = list(_model(keys[:-1]).model_fields)
            return Problem(
                f"`{name}` is not a key that exists",
                hint=_nearest(str(keys[-1]), names, f"the keys here are {_listed(names)}"),
                location=self._location(keys, key=True),
            )
        if kind == "missing":
            return Problem(
                f"`{name}` is missing",
                hint=_START if name in {"lifecycle", "lifecycle.mode"} else f"add the key `{keys[-1]}`",
                location=self._location(keys, key=True),
            )
        hint = _way_out(keys)
        if kind == "value_error":
            return Problem(f"`{name}` {details['ctx']['error']}", hint=hint, location=self._location(keys))
        if kind == "literal_error":
            choices = _choices(keys)
            expected, hint = _either(choices), _nearest(str(value), choices, hint)
        else:
            expected = _EXPECTED[kind].format(**details.get("ctx", {}))
        if kind == "string_type" and not isinstance(value, (dict, list)):
            hint = "quote it"
        return Problem(
            f"`{name}` must be {expected}, not {_described(value)}", hint=hint, location=self._location(keys)
        )

    def _location(self, keys: Sequence[str | int], *, key: bool = False) -> Location:
        for length in range(len(keys), 0, -1):
            variable = self._variables.get(tuple(map(str, keys[:length])))
            if variable:
                return Location(variable)
        return documents.locate(self._data, keys, path=self._path, key=key)


_EXPECTED: Final = MappingProxyType(
    {
        "string_type": "text",
        "bool_type": "`true` or `false`",
        "int_type": "a whole number",
        "greater_than_equal": "{ge} or more",
        "tuple_type": "a list",
        "model_type": "a mapping",
        "dict_type": "a mapping",
    }
)


def _read_here(values: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """`values` without keys that have no value and without those that only StageFreight reads."""
    ignored = model.ignored if issubclass(model, Section) else frozenset()
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if value is None or key in ignored:
            continue
        field = model.model_fields.get(key)
        section = _section(field) if field else None
        kept[key] = _read_here(value, section) if section and isinstance(value, dict) else value
    return kept


def _keys(
    model: type[BaseModel], parents: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], type[BaseModel], FieldInfo]]:
    """Every key that holds a value rather than a section: its place, its model and its field."""
    for name, field in model.model_fields.items():
        section = _section(field)
        if section:
            yield from _keys(section, (*parents, name))
        else:
            yield (*parents, name), model, field


def _value(config: Config | None, keys: Sequence[str]) -> Any:
    """What stands at `keys`, or their default; None where the section that has them may be left out and is."""
    value: Any = config
    model: type[BaseModel] = Config
    for key in keys:
        field = model.model_fields[key]
        value = field.default if value is None and model is not ClusterConfig else getattr(value, key, None)
        model = _section(field) or model
    return value


def _section(field: FieldInfo) -> type[Section] | None:
    """The section that `field` holds, also where it may be left out."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _model(keys: Sequence[str | int]) -> type[BaseModel]:
    model: type[BaseModel] = Config
    for key in keys:
        field = model.model_fields.get(str(key))
        model = (_section(field) if field else None) or model
    return model


def _way_out(keys: Sequence[str | int]) -> str:
    """What to do about a value that cannot be used, beyond what the message says."""
    field = _model(keys[:-1]).model_fields.get(str(keys[-1]))
    default = _default(field) if field and not _section(field) and not field.is_required() else ""
    return f"without the key it is {default}" if default else ""


def _choices(keys: Sequence[str | int]) -> list[str]:
    return list(get_args(_model(keys[:-1]).model_fields[str(keys[-1])].annotation))


def _holds_text(field: FieldInfo) -> bool:
    return field.annotation is str or all(
        isinstance(choice, str) for choice in get_args(field.annotation) or (0,)
    )


def _variable(keys: Sequence[str]) -> str:
    return ENV_PREFIX + "__".join(keys).upper()


def _put(values: dict[str, Any], keys: Sequence[str], value: Any) -> bool:
    """Set `value` at `keys`; False where something other than a mapping is in the way."""
    *parents, last = keys
    for key in parents:
        if values.get(key) is None:
            values[key] = {}
        values = values[key]
        if not isinstance(values, dict):
            return False
    values[last] = value
    return True


def _nearest(name: str, names: Mapping[str, Any] | Sequence[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean `{close[0]}`?" if close else otherwise


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _either(choices: Sequence[str]) -> str:
    return " or ".join(filter(None, (_listed(choices[:-1]), f"`{choices[-1]}`")))


def _described(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text `{_short(value)}`"
        case dict():
            return "a mapping"
        case _:
            return "a list"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _order(location: Location | None, path: str) -> tuple[bool, int, int, str]:
    if location is None:
        return True, 0, 0, ""
    return location.path != path, location.line, location.column, location.path


def _type_name(model: type[BaseModel], name: str) -> str:
    schema = model.model_json_schema()["properties"][name]
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if choices:
        return _either(choices)
    if schema["type"] == ["number", "string"]:
        return "duration"
    words = {
        "string": {"path": "path", "uri": "URL"}.get(schema.get("format", ""), "text"),
        "boolean": "`true` or `false`",
        "integer": "whole number",
        "array": "list of text",
        "object": "mapping",
    }
    return words[schema["type"]]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in ("", (), {}):
        return ""
    if isinstance(value, float):
        return f"`{int(value // 60)}m`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
