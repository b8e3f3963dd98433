"""Which rights a run needs, and how they are asked for."""

from __future__ import annotations

from sf import documents
from sf.backends.flux.kustomization import SourceRef
from sf.backends.flux.rights import described, needed, roles
from sf.tools.kubernetes import Right, User

SOURCES = [SourceRef("OCIRepository", "b", "x"), SourceRef("Unheard", "b", "y")]


def test_looking_needs_less_than_acting() -> None:
    looking = needed(["a"], SOURCES, act=False)
    assert described(looking) == (
        "get and list and watch kustomizations in a, get and list and watch ocirepositories in b"
    )
    acting = set(needed(["a"], SOURCES, act=True)) - set(looking)
    assert described(acting) == "list events in a, patch kustomizations in a, patch ocirepositories in b"


def test_a_role_and_its_binding_for_each_namespace() -> None:
    rights = [Right("b", "g", "things", verb) for verb in ("list", "get")] + [Right("", "", "nodes", "get")]
    manifests = roles(rights, User(name="system:serviceaccount:ci:robot", groups=()))
    loaded = [document.value for document in documents.load_all(manifests, path="roles")]
    assert [(item["kind"], item["metadata"].get("namespace")) for item in loaded] == [
        ("ClusterRole", None),
        ("ClusterRoleBinding", None),
        ("Role", "b"),
        ("RoleBinding", "b"),
    ]
    assert loaded[2]["rules"] == [{"apiGroups": ["g"], "resources": ["things"], "verbs": ["get", "list"]}]
    assert loaded[3]["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": loaded[2]["metadata"]["name"],
    }
    assert loaded[3]["subjects"] == [{"kind": "ServiceAccount", "namespace": "ci", "name": "robot"}]


def test_each_user_has_roles_of_his_own() -> None:
    rights = [Right("a", "g", "things", "get")]
    ada, ben = (roles(rights, User(name=name, groups=())) for name in ("ci:ada", "ci:ben"))
    assert ada.replace("ada", "ben") != ben
    assert "kind: User" in ada
