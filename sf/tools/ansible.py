"""``ansible-inventory``, so that inventories mean here what they mean to Ansible, and nothing of theirs is run.

An inventory source may also be a program or the configuration of a plugin, and a plugin runs code. Those are
refused by `refuse_code`, and the program itself is started with nothing but the two static parsers.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from sf import documents
from sf.models import Location, Problem
from sf.process import ProgramFailed, find, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.process import Launcher

PROGRAM: Final = "ansible-inventory"
_TIMEOUT: Final = 120.0
_VAULT: Final = b"$ANSIBLE_VAULT;"
_YAML: Final = (".yaml", ".yml", ".json")
# Files that Ansible leaves out when the source is a folder (INVENTORY_IGNORE_EXTS, and its own .orig and .retry).
_IGNORED: Final = (
    ".pyc",
    ".pyo",
    ".swp",
    ".bak",
    "~",
    ".rpm",
    ".md",
    ".txt",
    ".rst",
    ".orig",
    ".cfg",
    ".retry",
)
_MEANT_FOR_THE_LOG: Final = re.compile(r"(?:\[(?:ERROR|WARNING)\]|ERROR!?):\s*(.*)")


def identity(environ: Mapping[str, str]) -> str:
    """What tells this Ansible from another, without starting it; empty when there is none."""
    program = find(PROGRAM, environ)
    if program is None:
        return ""
    # An installer writes it anew with every release.
    status = program.stat()
    return f"{status.st_size}.{status.st_mtime_ns}"


def is_vaulted(data: bytes) -> bool:
    """Whether the whole file is encrypted with ansible-vault."""
    return data.startswith(_VAULT)


def is_ignored(path: str) -> bool:
    """Whether Ansible leaves the file out when it reads the folder it is in."""
    return path.endswith(_IGNORED) or PurePosixPath(path).name.startswith(".")


def refuse_code(path: str, data: bytes, *, executable: bool) -> None:
    """Raise `Problem` for an inventory source that Ansible would run or hand to a plugin; it names the form."""
    suffix = PurePosixPath(path).suffix
    if executable or data.startswith(b"#!"):
        raise _refused(path, "a script")
    if suffix == ".toml":
        raise _refused(path, "TOML")
    if suffix in _YAML:
        value = documents.load(data, path=path)
        if isinstance(value, dict) and "plugin" in value:
            raise _refused(path, f"the configuration of the plugin {value['plugin']}")


def list_inventory(
    launcher: Launcher, environ: Mapping[str, str], *, folder: Path, source: str, private: Path
) -> dict[str, Any]:
    """What ``ansible-inventory --list`` says: groups by name, and variables of hosts below ``_meta.hostvars``.

    `source` is a path below `folder`, which holds the files and nothing that may be run. `private` is an empty
    directory that becomes the home of this one call. Raises `Problem` with what Ansible said.
    """
    try:
        completed = launcher.run(
            [PROGRAM, "--inventory", source, "--list"],
            timeout=_TIMEOUT,
            environ=_environment(environ, private),
            cwd=folder,
        )
    except ProgramFailed as error:
        raise Problem(
            f"the inventory cannot be read: {_complaint(error.completed.stderr, folder)}",
            hint=f"`ansible-inventory -i {source} --list` shows the same",
            location=Location(source),
        ) from error
    try:
        listing = json.loads(completed.stdout)
    except ValueError as error:
        raise Problem(f"`{PROGRAM} --list` printed something that is not JSON") from error
    if not isinstance(listing, dict):
        raise Problem(f"`{PROGRAM} --list` printed something that is not an inventory")
    return listing


def _environment(environ: Mapping[str, str], private: Path) -> dict[str, str]:
    settings = private / "ansible.cfg"
    settings.touch()
    nothing = private / "nothing"
    nothing.mkdir(exist_ok=True)
    plugin_paths = (
        *(
            "ANSIBLE_INVENTORY_PLUGINS",
            "ANSIBLE_VARS_PLUGINS",
            "ANSIBLE_CACHE_PLUGINS",
            "ANSIBLE_LOOKUP_PLUGINS",
        ),
        *("ANSIBLE_FILTER_PLUGINS", "ANSIBLE_TEST_PLUGINS", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_LIBRARY"),
        *("ANSIBLE_MODULE_UTILS", "ANSIBLE_ROLES_PATH", "ANSIBLE_COLLECTIONS_PATH"),
    )
    return {
        **inherited(environ),
        **dict.fromkeys(plugin_paths, str(nothing)),
        "HOME": str(private),
        "ANSIBLE_HOME": str(private),
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_INVENTORY_ENABLED": "ini,yaml",
        "ANSIBLE_VARS_ENABLED": "host_group_vars",
        # A source that half of the parsers fail at is an error, not an inventory without hosts.
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Ansible refuses to start in a locale that is not UTF-8.
        "LC_ALL": "C.UTF-8",
    }


def _complaint(stderr: str, folder: Path) -> str:
    """The first thing that Ansible said about the source, without the place where we put it."""
    said = _MEANT_FOR_THE_LOG.search(stderr)
    sentence = said[1] if said else stderr.strip().partition("\n")[0]
    return sentence.replace(f"{folder}{os.sep}", "").strip() or "Ansible says no reason"


def _refused(path: str, form: str) -> Problem:
    return Problem(
        f"this inventory is {form}, and sf runs no code of the repository to learn its hosts",
        hint="write the hosts down in INI or YAML (group_vars and host_vars work)",
        location=Location(path),
    )
