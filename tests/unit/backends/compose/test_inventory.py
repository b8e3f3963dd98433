from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from sf.backends.compose.inventory import Host, Inventory, gather, implicit, read_inventory
from sf.cache import Cache
from sf.models import Problem
from sf.process import Launcher
from sf.redact import Redactor
from tests.estates import SEARCH_PATH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sf.backends.compose.tree import Tree
    from tests.unit.backends.compose.conftest import MakeTree

    Read = Callable[..., Inventory]

pytestmark = pytest.mark.tools


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(tree: Tree, source: str = "hosts") -> Inventory:
        places = tmp_path / "scratch", tmp_path / "private"
        for place in places:
            place.mkdir()
        return read_inventory(
            gather(tree, source),
            launcher=Launcher(Redactor()),
            environ={"PATH": SEARCH_PATH, "HOME": str(tmp_path), "ANSIBLE_INVENTORY_ENABLED": "auto,script"},
            scratch=places[0],
            private=places[1],
            cache=Cache(None),
        )

    return read


def test_ini_means_what_it_means_to_ansible(make_tree: MakeTree, read: Read) -> None:
    tree = make_tree(
        {
            "hosts": """\
[web]
web[01:03] ansible_user=deploy
here docker_local=true
[db]
db1 ansible_host=192.0.2.9 ansible_port=2222
[all_of_it:children]
web
db
""",
            "group_vars/db.yml": "ansible_user: backup\n",
            "host_vars/web02.yml": "ansible_host: 192.0.2.2\n",
        }
    )
    inventory = read(tree)
    assert dict(inventory.groups) == {
        "all": ("db1", "here", "web01", "web02", "web03"),
        "all_of_it": ("db1", "here", "web01", "web02", "web03"),
        "db": ("db1",),
        "web": ("here", "web01", "web02", "web03"),
    }
    assert inventory.hosts["db1"] == Host(name="db1", address="192.0.2.9", port=2222, user="backup")
    assert inventory.hosts["web02"] == Host(name="web02", address="192.0.2.2", user="deploy")
    assert [host.name for host in inventory.hosts.values() if host.local] == ["here"]


def test_a_folder_is_read_whole(make_tree: MakeTree, read: Read) -> None:
    tree = make_tree(
        {
            "inv/one.yml": "all: {hosts: {a: {}}}\n",
            "inv/two.ini": "b\n",
            "inv/README.md": "#!not an inventory\n",
            "inv/group_vars/all.yml": "ansible_user: deploy\n",
        }
    )
    inventory = read(tree, "inv")
    assert {name: host.user for name, host in inventory.hosts.items()} == {"a": "deploy", "b": "deploy"}


@pytest.mark.parametrize(
    ("path", "text", "form"),
    [
        ("hosts", "#!/bin/sh\ntouch {trap}\necho '{{}}'\n", "a script"),
        ("hosts.yml", "plugin: amazon.aws.aws_ec2\n", "the plugin amazon.aws.aws_ec2"),
        ("hosts.toml", "[web]\n", "TOML"),
    ],
)
def test_what_would_run_code_is_refused_by_its_form(
    make_tree: MakeTree, tmp_path: Path, path: str, text: str, form: str
) -> None:
    with pytest.raises(Problem, match=form):
        gather(make_tree({path: text.format(trap=tmp_path / "ran")}), path)
    assert not (tmp_path / "ran").exists()


def test_an_executable_file_is_a_script_whatever_it_says(make_tree: MakeTree) -> None:
    with pytest.raises(Problem, match="a script"):
        gather(make_tree({"hosts": "web1\n"}, programs=["hosts"]), "hosts")


def test_templates_and_plugins_of_the_repository_are_not_run(
    make_tree: MakeTree, read: Read, tmp_path: Path
) -> None:
    trap = tmp_path / "ran"
    lookup = f"{{{{ lookup('pipe', 'touch {trap}') }}}}"
    program = f"open({str(trap)!r}, 'w')\n"
    tree = make_tree(
        {
            "hosts": f'a note="{lookup}"\n',
            "group_vars/all.yml": f"other: {json.dumps(lookup)}\n",
            "vars_plugins/evil.py": program,
            "inventory_plugins/evil.py": program,
            "ansible.cfg": "[defaults]\nvars_plugins = ./vars_plugins\n",
        }
    )
    assert list(read(tree).hosts) == ["a"]
    assert not trap.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a ansible_host=\"{{ lookup('env', 'HOME') }}\"", "ansible_host"),
        ("a ansible_host=-oProxyCommand=evil", "ansible_host"),
        ("a ansible_host='x;reboot'", "ansible_host"),
        ("a ansible_user='$(reboot)'", "ansible_user"),
        ("a ansible_port=99999", "ansible_port"),
        ("a ansible_port=ssh", "ansible_port"),
        ("a docker_local=perhaps", "docker_local"),
    ],
)
def test_a_fact_that_is_not_plain_is_refused_by_name(
    make_tree: MakeTree, read: Read, text: str, said: str
) -> None:
    with pytest.raises(Problem, match=f"the host a has {said}"):
        read(make_tree({"hosts": f"{text}\n"}))


def test_facts_of_the_connection_are_those_that_ssh_gets(make_tree: MakeTree, read: Read) -> None:
    facts = "ansible_host=10.0.0.1 ansible_ssh_private_key_file=~/.ssh/web"
    tree = make_tree({"hosts": f"web {facts} ansible_ssh_common_args='-J bastion -o ConnectTimeout=5'\n"})
    route = read(tree).hosts["web"].route
    assert (route.place, route.key_file) == (("10.0.0.1", 22), "~/.ssh/web")
    assert route.options == (("ConnectTimeout", "5"), ("ProxyJump", "bastion"))


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ("ansible_ssh_common_args='-o ProxyCommand=evil'", "sets ProxyCommand, and only"),
        ("ansible_ssh_common_args='-o StrictHostKeyChecking=no'", "sets StrictHostKeyChecking"),
        ("ansible_ssh_private_key_file=keys/id", "no key is read from the repository"),
        ("ansible_ssh_private_key_file='/k ProxyCommand=evil'", "ansible_ssh_private_key_file"),
        ("ansible_ssh_private_key_file='/k${HOME}'", "ansible_ssh_private_key_file"),
    ],
)
def test_a_connection_that_could_run_code_is_refused(
    make_tree: MakeTree, read: Read, fact: str, said: str
) -> None:
    with pytest.raises(Problem, match=said.replace("$", r"\$")):
        read(make_tree({"hosts": f"web {fact}\n"}))


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a;b", "$(x)", "a b", "a/b", "../a", "a\nb"])
def test_a_name_that_could_be_code_is_refused(make_tree: MakeTree, read: Read, name: str) -> None:
    with pytest.raises(Problem, match=r"taken for an option or for shell code|cannot be read"):
        read(make_tree({"hosts.yml": json.dumps({"all": {"hosts": {name: {}}}})}), "hosts.yml")


@pytest.mark.parametrize("text", ["[web\n", "[web:children]\nnowhere\n"])
def test_what_ansible_cannot_read_is_an_error_in_its_words(
    make_tree: MakeTree, read: Read, text: str
) -> None:
    with pytest.raises(Problem, match=r"the inventory cannot be read: .{10}") as caught:
        read(make_tree({"hosts": text}))
    assert caught.value.location is not None
    assert "/tmp" not in caught.value.message


def test_vaulted_files_are_left_out_and_told(make_tree: MakeTree, read: Read) -> None:
    tree = make_tree({"hosts": "a\n", "group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n3132\n"})
    inventory = read(tree)
    assert list(inventory.hosts) == ["a"]
    assert inventory.skipped == ("group_vars/all/vault.yml",)


def test_no_inventory_at_the_path(make_tree: MakeTree) -> None:
    with pytest.raises(Problem, match="there is no inventory at hosts"):
        gather(make_tree({"other": ""}), "hosts")


def test_scopes_are_hosts_or_groups_and_never_both() -> None:
    inventory = Inventory(
        hosts={"a": Host(name="a"), "both": Host(name="both")}, groups={"g": ("a", "both"), "both": ("a",)}
    )
    assert inventory.scope("a") == ("a",)
    assert inventory.scope("g") == ("a", "both")
    assert inventory.scope("nobody") is None
    with pytest.raises(Problem, match="both a host and a group"):
        inventory.scope("both")


def test_selection_by_groups_and_its_mistakes() -> None:
    inventory = Inventory(
        hosts={"a": Host(name="a"), "b": Host(name="b")}, groups={"g": ("a",), "empty": (), "all": ("a", "b")}
    )
    assert inventory.select(["g"], source="hosts") == {"a"}
    assert inventory.select([], source="hosts") == {"a", "b"}
    with pytest.raises(Problem, match="no such group"):
        inventory.select(["gg"], source="hosts")
    with pytest.raises(Problem, match="without hosts"):
        inventory.select(["empty"], source="hosts")


def test_without_an_inventory_there_is_this_machine() -> None:
    assert [(host.name, host.local) for host in implicit().hosts.values()] == [("localhost", True)]
    assert implicit().scope("all") == ("localhost",)


def test_what_ansible_said_is_kept_by_the_content_of_the_files_without_other_variables(
    tmp_path: Path, make_tree: MakeTree
) -> None:
    counted = tmp_path / "bin/ansible-inventory"
    counted.parent.mkdir()
    counted.write_text(
        f'#!/bin/sh\necho >>{tmp_path}/calls\nPATH={shlex.quote(SEARCH_PATH)}\nexec ansible-inventory "$@"\n'
    )
    counted.chmod(0o755)
    cache = Cache(tmp_path / "cache")
    calls = 0

    def read(hosts: str, others: str = "") -> tuple[Inventory, int]:
        nonlocal calls
        calls += 1
        tree = make_tree({"hosts": hosts, "group_vars/all.yml": f"db_password: hunter2{others}\n"})
        places = tmp_path / f"scratch{calls}", tmp_path / f"private{calls}"
        for place in places:
            place.mkdir()
        found = read_inventory(
            gather(tree, "hosts"),
            launcher=Launcher(Redactor()),
            environ={"PATH": f"{counted.parent}:{SEARCH_PATH}", "HOME": str(tmp_path)},
            scratch=places[0],
            private=places[1],
            cache=cache,
        )
        return found, len((tmp_path / "calls").read_text().splitlines())

    one = read("[web]\na ansible_host=192.0.2.1\n")
    assert (one[1], one[0].hosts["a"].address) == (1, "192.0.2.1")
    assert read("[web]\na ansible_host=192.0.2.1\n") == (one[0], 1)
    assert read("[web]\na ansible_host=192.0.2.2\n")[1] == 2
    assert read("[web]\na ansible_host=192.0.2.2\n", "3")[1] == 3
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert b"192.0.2.2" in kept
    assert b"hunter2" not in kept
