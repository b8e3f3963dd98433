"""Which hosts there are, and on which of them a scope's stacks run."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sf.models import Location, Problem, canonical_json
from sf.tools import ansible, ssh
from sf.workspace import write_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from sf.backends.compose.tree import Tree
    from sf.cache import Cache
    from sf.process import Launcher

ALL: Final = "all"
LOCALHOST: Final = "localhost"
# What a host may be called: it becomes part of command lines, paths and messages, and never an option.
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?|[A-Za-z0-9_]?[0-9A-Fa-f:]+")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,127}")
# Read by ssh, which expands % and $.
_KEY_FILE: Final = re.compile(r"(?:~/|/)[A-Za-z0-9._/@+-]+")
_TRUE: Final = frozenset({"true", "yes", "on", "1", "y", "t"})
_FALSE: Final = frozenset({"false", "no", "off", "0", "n", "f", ""})
# Part of the key of what is kept: raise it when equal files may give other hosts than before.
_FORMAT: Final = 1
_FACTS: Final = frozenset(
    {
        "docker_local",
        "ansible_host",
        "ansible_port",
        "ansible_user",
        "ansible_ssh_private_key_file",
        "ansible_ssh_common_args",
    }
)
_VARIABLE_FOLDERS: Final = ("group_vars", "host_vars")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine with a Docker Engine.

    ``local``: it is the machine that sf runs on (``docker_local: true``). The others are reached over ssh at
    ``address`` and ``port`` (0 and an empty ``user``: as ssh itself decides), with the private key in ``key_file``
    if there is one and the options that ``ansible_ssh_common_args`` sets.
    """

    name: str
    local: bool = False
    address: str = ""
    port: int = 0
    user: str = ""
    key_file: str = ""
    ssh_options: tuple[tuple[str, str], ...] = ()

    @property
    def route(self) -> ssh.Route:
        """How it is reached."""
        return ssh.Route(
            name=self.name,
            address=self.address,
            port=self.port,
            user=self.user,
            key_file=self.key_file,
            options=self.ssh_options,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Hosts by name, and the names of each group's hosts, those of its children included.

    ``identity`` is decided by the content of what was read; ``skipped`` are the paths of what was not, because it
    is encrypted with ansible-vault.
    """

    hosts: Mapping[str, Host] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    identity: str = ""
    skipped: tuple[str, ...] = ()

    def scope(self, name: str) -> tuple[str, ...] | None:
        """The hosts that a scope stands for: itself, or the members of the group; None when it is neither.

        Raises `Problem` when a host and a group share the name, since either could be meant.
        """
        if name in self.hosts and name in self.groups:
            raise Problem(
                f"{name} is both a host and a group of the inventory, so its stacks could be meant for either",
                hint="rename one of the two",
            )
        return (name,) if name in self.hosts else self.groups.get(name)

    def select(self, groups: Collection[str], *, source: str) -> frozenset[str]:
        """The names of the hosts in any of `groups`, of all hosts when none are named.

        Raises `Problem` for a group that does not exist or has no host.
        """
        for group in groups:
            if group not in self.groups:
                raise Problem(
                    f"`docker.targets.selector.groups` names {group}, and the inventory has no such group",
                    hint=f"its groups are {', '.join(sorted(self.groups))}",
                    location=Location(source),
                )
            if not self.groups[group]:
                raise Problem(
                    f"`docker.targets.selector.groups` names {group}, a group without hosts",
                    hint="add hosts to it, or take it off the list",
                    location=Location(source),
                )
        if not groups:
            return frozenset(self.hosts)
        return frozenset(host for group in groups for host in self.groups[group])


def implicit() -> Inventory:
    """What holds without an inventory: this machine alone, under the name Ansible has for it."""
    return Inventory(hosts={LOCALHOST: Host(name=LOCALHOST, local=True)}, groups={ALL: (LOCALHOST,)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The files of an inventory as they stand in a tree: ``contents`` by path, none of which Ansible would run.

    ``identity`` is decided by what was read; ``skipped`` are files encrypted with ansible-vault.
    """

    path: str
    contents: Mapping[str, bytes]
    identity: str
    skipped: tuple[str, ...] = ()


def gather(tree: Tree, source: str) -> Source:
    """The file at `source` (or those of the folder) with the ``group_vars`` and ``host_vars`` beside it.

    Raises `Problem` when there is none, or one that is a script or wants a plugin.
    """
    sources = _sources(tree, source)
    contents: dict[str, bytes] = {}
    identity: list[tuple[str, str]] = []
    for path in (*sources, *_variable_files(tree, source)):
        file = tree.file(path)
        if file is None:
            raise Problem(
                f"{path} is a symbolic link or a submodule, and is not read as an inventory",
                hint="commit the file itself",
                location=Location(path),
            )
        contents[path] = tree.content(file)
        identity.append((path, file.id))
        if path in sources:
            ansible.refuse_code(path, contents[path], executable=file.executable)
    skipped = tuple(path for path, data in contents.items() if ansible.is_vaulted(data))
    return Source(
        path=source,
        contents={path: data for path, data in contents.items() if path not in skipped},
        identity=hashlib.sha256(canonical_json(identity)).hexdigest(),
        skipped=skipped,
    )


def read_inventory(
    source: Source,
    *,
    launcher: Launcher,
    environ: Mapping[str, str],
    scratch: Path,
    private: Path,
    cache: Cache,
) -> Inventory:
    """What `source` says, as Ansible itself understands it; what it said of the same before is in `cache`.

    `scratch` and `private` are empty directories, for the files and for Ansible's own. Raises `Problem`.
    """
    about = [_FORMAT, ansible.identity(environ), source.path, source.identity]
    entry = hashlib.sha256(b"sf inventory" + canonical_json(about)).hexdigest()
    if kept := cache.get(entry):
        listing: Mapping[str, Any] = json.loads(kept)
    else:
        write_tree(scratch, source.contents)
        listing = _used(
            ansible.list_inventory(launcher, environ, folder=scratch, source=source.path, private=private)
        )
        cache.put(entry, canonical_json(listing))
    hosts, groups = _understand(listing, source.path)
    return Inventory(hosts=hosts, groups=groups, identity=source.identity, skipped=source.skipped)


def _used(listing: Mapping[str, Any]) -> dict[str, Any]:
    """What of `listing` sf looks at: other variables may be secrets, and are not kept."""
    variables = listing.get("_meta", {}).get("hostvars", {})
    facts = {
        host: {name: value for name, value in stated.items() if name in _FACTS}
        for host, stated in variables.items()
    }
    return {**listing, "_meta": {"hostvars": facts}}


def _sources(tree: Tree, source: str) -> tuple[str, ...]:
    if source in tree:
        return (source,)
    # As Ansible reads a folder: every file in it, but for those beside the inventory proper.
    below = [path for path in tree.paths(source) if not ansible.is_ignored(path)]
    found = tuple(path for path in below if not _holds_variables(path.removeprefix(f"{source}/")))
    if not found:
        raise Problem(
            f"there is no inventory at {source}",
            hint="commit it, or correct `docker.targets.inventory`; it is read from git, not from the work tree",
            location=Location(source),
        )
    return found


def _variable_files(tree: Tree, source: str) -> tuple[str, ...]:
    beside = posixpath.dirname(source) if source in tree else source
    folders = [posixpath.join(beside, name) for name in _VARIABLE_FOLDERS]
    return tuple(path for folder in folders for path in tree.paths(folder))


def _holds_variables(relative: str) -> bool:
    return relative.split("/", 1)[0] in _VARIABLE_FOLDERS


def _understand(
    listing: Mapping[str, Any], source: str
) -> tuple[dict[str, Host], dict[str, tuple[str, ...]]]:
    variables = listing.get("_meta", {}).get("hostvars", {})
    stated = {name: group for name, group in listing.items() if name != "_meta"}
    groups = {name: tuple(sorted(_members(name, stated, set()))) for name in sorted(stated)}
    names = {host for members in groups.values() for host in members}
    groups[ALL] = tuple(sorted(names))
    return {name: _host(name, variables.get(name, {}), source) for name in sorted(names)}, groups


def _members(name: str, stated: Mapping[str, Any], seen: set[str]) -> Iterable[str]:
    """The hosts of a group and of its children; a group that contains itself ends the search, not the program."""
    if name in seen:
        return
    seen.add(name)
    group = stated.get(name, {})
    yield from group.get("hosts", ())
    for child in group.get("children", ()):
        yield from _members(child, stated, seen)


def _host(name: str, facts: Mapping[str, Any], source: str) -> Host:
    if not _NAME.fullmatch(name):
        raise Problem(
            f"the host {name!r} has a name that could be taken for an option or for shell code",
            hint="use letters, digits, dots, hyphens and underscores; put the address into `ansible_host`",
            location=Location(source),
        )
    return Host(
        name=name,
        local=_flag(name, facts, source),
        address=_matching(name, "ansible_host", facts, _NAME, source),
        port=_port(name, facts, source),
        user=_matching(name, "ansible_user", facts, _USER, source),
        key_file=_matching(name, "ansible_ssh_private_key_file", facts, _KEY_FILE, source),
        ssh_options=_ssh_options(name, facts, source),
    )


def _ssh_options(name: str, facts: Mapping[str, Any], source: str) -> tuple[tuple[str, str], ...]:
    try:
        return ssh.parse_options(str(facts.get("ansible_ssh_common_args", "")))
    except ValueError as error:
        raise Problem(
            f"the host {name} has ansible_ssh_common_args that {error}",
            hint="correct it in the inventory, group_vars or host_vars",
            location=Location(source),
        ) from error


def _flag(name: str, facts: Mapping[str, Any], source: str) -> bool:
    value = facts.get("docker_local", False)
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise _wrong(name, "docker_local", value, "`true` or `false`", source)
    return word in _TRUE


def _matching(name: str, fact: str, facts: Mapping[str, Any], form: re.Pattern[str], source: str) -> str:
    value = facts.get(fact, "")
    if value == "":
        return ""
    if not isinstance(value, str) or not form.fullmatch(value):
        expected = _EXPECTED.get(fact, "a plain name or address; templates are not evaluated")
        raise _wrong(name, fact, value, expected, source)
    return value


_EXPECTED: Final = {
    "ansible_ssh_private_key_file": "a path that begins with / or ~/; no key is read from the repository",
}


def _port(name: str, facts: Mapping[str, Any], source: str) -> int:
    value = facts.get("ansible_port", 0)
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or int(text) > 65535:
        raise _wrong(name, "ansible_port", value, "a port number", source)
    return int(text)


def _wrong(name: str, fact: str, value: object, expected: str, source: str) -> Problem:
    return Problem(
        f"the host {name} has {fact} {value!r}, which is not {expected}",
        hint="correct it in the inventory, group_vars or host_vars",
        location=Location(source),
    )
