"""The tier `sshd`: OpenSSH's server from the machine's own release, unpacked and never installed.

Installed, the package would start a server that anybody can reach. One of a later suite needs newer libraries than
Debian 12 has. So its version follows the release's updates and is not pinned; Debian's key signs it.
"""

import os
import platform
import tempfile
from pathlib import Path

from toolchain import apt, cache
from toolchain.programs import run
from toolchain.progress import step

# libwrap is the one library that the server needs and a machine with a client does not have.
PACKAGES = ("libwrap0", "openssh-server")
LAYOUT = "1"


def ensure() -> Path:
    """Have the tier in the cache and return its folder, which is the root of both packages."""
    release = platform.freedesktop_os_release()
    suite = release.get("VERSION_CODENAME", "")
    folder = cache.home() / f"sshd-{cache.key({'suite': suite.encode(), 'layout': LAYOUT.encode()})}"
    cache.ensure(folder, lambda partial: _build(partial, suite))
    return folder


def environment(root: Path) -> dict[str, str]:
    """What the server needs in its environment to find the libraries of the tier."""
    return {"LD_LIBRARY_PATH": os.pathsep.join(str(path.parent) for path in root.rglob("libwrap.so.0"))}


def settings(root: Path) -> str:
    """The lines of sshd_config(5) that name the server's parts; from 9.8 on it starts them from fixed paths."""
    parts = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
    places = {name: root / "usr/lib/openssh" / program for name, program in parts.items()}
    return "".join(f"{name} {place}\n" for name, place in places.items() if place.exists())


def _build(root: Path, suite: str) -> None:
    with tempfile.TemporaryDirectory(prefix="apt-", dir=root) as scratch:
        archive = apt.PrivateApt(Path(scratch), apt.machine_mirror(), suite)
        with step(f"fetched the server of OpenSSH from Debian {suite}"):
            archive.update()
            served = archive.candidates(PACKAGES)
            files = archive.download({name: served[name][0].version for name in PACKAGES})
        for file in files:
            run(["dpkg-deb", "--extract", file, root])
    run([root / "usr/sbin/sshd", "-V"], env=environment(root))
