"""What sops encrypted is told from what it did not, and opened with the keys of whoever runs it."""

from __future__ import annotations

import subprocess  # noqa: TID251 - tests stand outside of the doors
from typing import TYPE_CHECKING, Any

import pytest

from sf.process import Launcher, ProgramMissing
from sf.redact import Redactor
from sf.tools.sops import Encryption, Format, NotDecrypted, Sops, encryption, public_lines
from tests.secrets import Key, encrypt, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.tools

SAMPLES = {
    Format.DOTENV: "USER=ada\nPASSWORD='hunter2 hunter2'\n# a remark\n",
    Format.INI: "[db]\npassword = hunter2 hunter2\n",
    Format.JSON: '{"password": "hunter2 hunter2", "port": 5432}',
    Format.YAML: "db: {password: hunter2 hunter2}\n---\nother: hunter2 hunter2\n",
    Format.BINARY: "hunter2 hunter2\n\x00 and no text",
}


@pytest.fixture(scope="session")
def key(program_path: str) -> Key:
    return new_key(program_path)


@pytest.fixture
def seal(key: Key, program_path: str, tmp_path: Path) -> Callable[..., bytes]:
    def seal(data: str, kind: Format, *more: str) -> bytes:
        return encrypt(
            data, kind.value, tmp_path, *(more or ("--age", key.recipient)), environ={"PATH": program_path}
        )

    return seal


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


@pytest.fixture
def sops(program_path: str, redactor: Redactor, tmp_path: Path) -> Callable[..., Sops]:
    def make(**environ: str) -> Sops:
        # Nobody's home: a key has to be given.
        defaults = {"PATH": program_path, "HOME": str(tmp_path)}
        return Sops(Launcher(redactor), {**defaults, **environ}, redactor, tmp_path)

    return make


@pytest.mark.parametrize("kind", Format)
def test_each_format_is_recognised_by_its_content_and_opened(
    kind: Format, seal: Any, sops: Any, key: Key, redactor: Redactor
) -> None:
    closed = seal(SAMPLES[kind], kind)
    assert encryption(closed, path="a/file") == Encryption(kind, (f"age {key.recipient}",))
    plain = sops(SOPS_AGE_KEY=key.private).decrypt(closed, path="a/file")
    assert b"hunter2 hunter2" in plain
    assert plain.strip().split() == SAMPLES[kind].encode().strip().split() or kind in {
        Format.JSON,
        Format.YAML,
    }
    assert "hunter2" not in redactor.scrub("it said hunter2 hunter2 and went")


@pytest.mark.parametrize("name", ["app.env", "no-suffix", "app.yaml", "app.json", "secrets.enc"])
def test_the_name_of_a_file_plays_no_part(name: str, seal: Any) -> None:
    for kind in (Format.DOTENV, Format.INI, Format.JSON, Format.YAML):
        found = encryption(seal(SAMPLES[kind], kind), path=name)
        assert found is not None
        assert found.format is kind
        assert encryption(SAMPLES[kind].encode(), path=name) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"sops: {mac: plain}\n",
        b"a: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\nsops: talked about\n",
        b'{"sops": {"mac": "ENC[AES256_GCM,"}}',
        b'{"sops": broken ENC[AES256_GCM,',
        b"text about sops and ENC[AES256_GCM, in a book",
        b"sops:\n  - ENC[AES256_GCM,\n\tbroken",
    ],
)
def test_what_only_speaks_of_sops_is_plain(data: bytes) -> None:
    assert encryption(data, path="x.yaml") is None


def test_a_document_with_nothing_but_data_is_a_binary_unless_its_name_says_json(seal: Any) -> None:
    closed = seal('{"data": "hunter2"}', Format.JSON)
    kinds = {name: encryption(closed, path=name) for name in ("x.json", "x")}
    assert {name: found.format for name, found in kinds.items() if found} == {
        "x.json": Format.JSON,
        "x": Format.BINARY,
    }
    binary = encryption(seal("blob", Format.BINARY), path="x.json")
    assert binary is not None
    assert binary.format is Format.BINARY


def test_names_of_variables_stay_readable(seal: Any) -> None:
    lines = public_lines(seal(SAMPLES[Format.DOTENV], Format.DOTENV)).decode().splitlines()
    assert [line.partition("=")[0] for line in lines] == ["USER", "PASSWORD"]
    assert all("=ENC[AES256_GCM," in line for line in lines)


def test_a_key_from_a_file_and_from_the_home_is_found(seal: Any, sops: Any, key: Key, tmp_path: Path) -> None:
    closed = seal(SAMPLES[Format.DOTENV], Format.DOTENV)
    file = tmp_path / "key"
    file.write_text(key.private)
    assert b"USER=ada" in sops(SOPS_AGE_KEY_FILE=str(file)).decrypt(closed, path="x")
    at_home = tmp_path / ".config/sops/age/keys.txt"
    at_home.parent.mkdir(parents=True)
    at_home.write_text(key.private)
    assert b"USER=ada" in sops().decrypt(closed, path="x")


def test_a_key_that_does_not_fit_is_told_with_the_recipients(
    seal: Any, sops: Any, key: Key, program_path: str
) -> None:
    stranger = new_key(program_path)
    closed = seal(SAMPLES[Format.INI], Format.INI)
    for environ in ({}, {"SOPS_AGE_KEY": stranger.private}):
        with pytest.raises(NotDecrypted) as caught:
            sops(**environ).decrypt(closed, path="a/db.ini")
        assert caught.value.message == (
            f"a/db.ini cannot be decrypted: no private key here fits. It is encrypted for age {key.recipient}"
        )
        assert "SOPS_AGE_KEY" in caught.value.hint
        assert str(caught.value.location) == "a/db.ini"


def test_a_file_that_was_tampered_with_is_refused(seal: Any, sops: Any, key: Key) -> None:
    closed = seal(SAMPLES[Format.DOTENV], Format.DOTENV).replace(b"USER=", b"OWNER=")
    with pytest.raises(NotDecrypted, match=r"x cannot be decrypted: .*(MAC|authentication)"):
        sops(SOPS_AGE_KEY=key.private).decrypt(closed, path="x")


def test_without_the_program_the_file_is_named(seal: Any, sops: Any) -> None:
    closed = seal("a", Format.BINARY)
    with pytest.raises(ProgramMissing, match="`sops` is not installed, and a/b is encrypted"):
        sops(PATH="/nonexistent").decrypt(closed, path="a/b")


@pytest.fixture
def pgp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A home of GnuPG with a new private key, and its fingerprint."""
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    environ = {"GNUPGHOME": str(home), "PATH": "/usr/bin:/bin"}
    options = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run(
        [*options, "--quick-gen-key", "sf@example.test", "default", "default"], env=environ, check=True
    )
    listed = subprocess.run(
        ["gpg", "--list-keys", "--with-colons"], env=environ, check=True, capture_output=True, text=True
    ).stdout
    yield home, next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
    subprocess.run(["gpgconf", "--kill", "all"], env=environ, check=True)


def test_a_key_of_pgp_is_found_where_gnupg_keeps_it(
    pgp: tuple[Path, str], sops: Any, program_path: str, tmp_path: Path
) -> None:
    home, fingerprint = pgp
    environ = {"PATH": program_path, "GNUPGHOME": str(home)}
    closed = encrypt(SAMPLES[Format.YAML], "yaml", tmp_path, "--pgp", fingerprint, environ=environ)
    found = encryption(closed, path="x")
    assert found is not None
    assert found.recipients == (f"pgp {fingerprint}",)
    assert b"hunter2" in sops(GNUPGHOME=str(home)).decrypt(closed, path="x")
    with pytest.raises(NotDecrypted, match=f"encrypted for pgp {fingerprint}"):
        sops().decrypt(closed, path="x")
