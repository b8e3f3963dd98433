"""Our builds equal those of `flux build kustomization --dry-run`, object by object."""

from __future__ import annotations

import posixpath
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sf import documents
from sf.backends.flux.graph import Start
from sf.backends.flux.kustomization import Kustomization, is_kustomization
from sf.backends.flux.starts import find_starts, start_at
from sf.backends.flux.substitute import Variables
from sf.process import Launcher
from sf.redact import Redactor
from tests.fleets import Fleet, config_map, flux_kustomization, kustomization, programs, tree_of
from tests.flux.oracle import comparable, flux_build, parts, write
from tests.repositories import ENVIRON, Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.flux.graph import Graph
    from sf.backends.flux.outline import Rendering

pytestmark = pytest.mark.tools

CHECKOUT = Path(__file__).parents[2]
FIXTURES = CHECKOUT.parent / "shared" / "fixtures"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and ".git" not in path.relative_to(folder).parts
    }


def check_all(graph: Graph, checkout: Path, scratch: Path, starts: list[Start]) -> int:
    """Compare every Kustomization with a local path; how many there were."""
    local = [
        node
        for start in starts
        for node in graph.entry(start).nodes.values()
        if node.closure is not None and not node.closure.remote
    ]
    # While flux builds, the kustomization of that path is the one of that Kustomization.
    by_path: dict[str, list[Kustomization]] = {}
    for node in local:
        by_path.setdefault(node.path, []).append(node)

    def check_path(nodes: list[Kustomization]) -> int:
        return len([check(graph, checkout, scratch, node) for node in nodes])

    with ThreadPoolExecutor(max_workers=2) as pool:
        return sum(pool.map(check_path, by_path.values()))


def check(graph: Graph, checkout: Path, scratch: Path, node: Kustomization) -> Rendering:
    # flux cannot leave a name without value as it is, so it and we get the same stand-in for what is not known.
    rendering = graph.render(node)
    if node.variables is not None and (node.variables.open or node.variables.hidden):
        names = node.variables.undefined | node.variables.hidden
        values = {**{name: f"value-of-{name}" for name in names}, **node.variables.values}
        node = Kustomization(
            namespace=node.namespace,
            name=node.name,
            spec=node.spec,
            path=node.path,
            closure=node.closure,
            variables=Variables(values),
        )
        rendering = graph.render(node)
    answer = flux_build(checkout, scratch, node, node.variables.values if node.variables else None)
    assert bool(rendering.error) == bool(answer.error), (node.id, rendering.error, answer.error)
    if not answer.error:
        assert not rendering.withheld
        assert comparable(rendering.objects) == comparable(answer.objects), node.id
    return rendering


@pytest.mark.parametrize("branch", ["main", "change"])
def test_the_example_fleet(tmp_path: Path, branch: str) -> None:
    Launcher(Redactor()).run(
        [str(CHECKOUT / "examples" / "make-repository.sh"), str(tmp_path / "fleet"), "fleet"],
        environ=ENVIRON,
        timeout=60,
    )
    repository = Repository(tmp_path / "fleet")
    repository.git("checkout", "--quiet", branch)
    graph = Fleet(tmp_path / "builds").graph(tree_of(files_of(repository.root)))
    starts = find_starts(graph)
    assert [start.path for start in starts] == ["clusters/production", "clusters/staging"]
    assert check_all(graph, repository.root, tmp_path, starts) > 10


@pytest.mark.parametrize(
    ("name", "paths", "least"),
    [
        ("flux2-kustomize-helm-example", ["clusters/production", "clusters/staging"], 2),
        ("flux2-multi-tenancy", ["clusters/production", "clusters/staging"], 8),
        ("home-cluster", ["cluster/base"], 70),
    ],
)
@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures are not part of the repository")
def test_public_repositories(tmp_path: Path, name: str, paths: list[str], least: int) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(FIXTURES / name, checkout, symlinks=True)
    graph = Fleet(tmp_path / "builds").graph(tree_of(files_of(checkout)))
    starts = [root_at(path) if path.startswith("clusters/") else start_at(graph, path) for path in paths]
    assert check_all(graph, checkout, tmp_path, starts) >= least


def root_at(path: str) -> Start:
    """What `flux bootstrap` would have made of `path`; the examples come without it."""
    document = documents.load(flux_kustomization("flux-system", f"./{path}"), path="")
    metadata = document["metadata"]
    root = Kustomization(namespace=metadata["namespace"], name=metadata["name"], spec=document["spec"])
    return Start(path=path, root=root)


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web, tier: front}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "nginx:1.25", env: [{name: A, value: "1"}]}
      - {name: side, image: "busybox@sha256:0000000000000000000000000000000000000000000000000000000000000000"}
"""
APP = {
    "app/deployment.yaml": DEPLOYMENT,
    "app/config.yaml": config_map("settings", colour="red", answer='"42"'),
    "app/kustomization.yaml": kustomization(["deployment.yaml", "config.yaml"]),
}
COMPONENT = {
    "part/kustomization.yaml": kustomization(
        ["extra.yaml"],
        "patches: [{patch: '[{op: add, path: /metadata/labels/part, value: x}]', target: {kind: Deployment}}]",
        kind="Component",
    ),
    "part/extra.yaml": config_map("extra", a="b"),
}


def own(more: str, **files: str) -> dict[str, str]:
    """The application with more in its own kustomization, and more files beside it."""
    changed = kustomization(["deployment.yaml", "config.yaml"], more)
    return APP | {"app/kustomization.yaml": changed} | {f"app/{name}": text for name, text in files.items()}


SPECS: dict[str, str] = {
    "nothing": "",
    "namespace": "targetNamespace: over",
    "affixes": "namePrefix: pre-\nnameSuffix: -post",
    "common metadata": "commonMetadata: {labels: {team: a, app: other}, annotations: {note: 'x'}}",
    "build metadata": "buildMetadata: [originAnnotations, transformerAnnotations]",
    "patch of a named object": """
        patches:
        - patch: |
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: web}
            spec: {replicas: 5}
        """,
    "patch of what matches": """
        patches:
        - target: {kind: Deployment, labelSelector: 'tier=front'}
          patch: |
            - {op: replace, path: /spec/replicas, value: 7}
        - target: {kind: ConfigMap, name: 'set.*'}
          patch: |
            - {op: add, path: /data/more, value: 'yes'}
        - target: {annotationSelector: 'nobody=home'}
          patch: |
            - {op: remove, path: /spec}
        """,
    "patch that deletes": """
        patches:
        - patch: |
            $patch: delete
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: settings}
        """,
    "patch for nobody in particular": """
        patches:
        - target: {}
          patch: |
            - {op: add, path: /metadata/annotations, value: {all: 'x'}}
        """,
    "patch of what does not exist": """
        patches:
        - patch: |
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: nobody}
        """,
    "patches of older versions, which v1 does not have": """
        patchesStrategicMerge:
        - {apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 9}}
        patchesJson6902:
        - target: {version: v1, kind: ConfigMap, name: settings}
          patch: [{op: replace, path: /data/colour, value: blue}]
        """,
    "images": """
        images:
        - {name: nginx, newName: registry.example.test/nginx, newTag: '1.27'}
        - {name: busybox, digest: 'sha256:1111111111111111111111111111111111111111111111111111111111111111'}
        """,
    "components": "components: [../part]",
    "missing component": "components: [../part, ../gone]",
    "missing component, ignored": "components: [../part, ../gone]\nignoreMissingComponents: true",
    "component that is an address": "components: ['https://example.test/a/b']",
    "absolute component": "components: ['/part']\nignoreMissingComponents: true",
    "inline variables": """
        postBuild: {substitute: {colour: green, empty: ''}}
        """,
    "always": "postBuild: {substituteStrategy: Always}",
}


@pytest.mark.parametrize("name", SPECS)
def test_every_field_of_a_flux_kustomization(tmp_path: Path, name: str) -> None:
    compare(tmp_path, APP | COMPONENT, SPECS[name])


FORMS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: forms}
data:
  plain: ${a}
  between: x-${a}-${b}y
  default: ${nothing:=fallback}
  other default: ${nothing:-fallback}
  nested default: ${nothing:=${a}-${b}}
  empty: "${empty}"
  empty with default: ${empty:=fallback}
  literal: $${a} and $$ and $ and $b
  upper: ${a^^}
  length: ${#a}
  part: ${a:1:2}
  replaced: ${a/l/L}
  trimmed: ${a%ue}
  lines: |
    first ${a}
    second ${b} ${a^^} ${b%s}
    third ${nothing:=one
    two} $${a
    }
"""
VALUES = "postBuild: {substitute: {a: value, b: 'two words', empty: '', lines: 'x'}}"


@pytest.mark.parametrize(
    "change",
    [
        "",
        "labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}",
        "annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}",
        "annotations: {kustomize.toolkit.fluxcd.io/substitute: enabled}",
    ],
)
def test_substitution(tmp_path: Path, change: str) -> None:
    text = FORMS.replace("{name: forms}", f"{{name: forms, {change}}}" if change else "{name: forms}")
    compare(tmp_path, {"app/forms.yaml": text}, VALUES)


@pytest.mark.parametrize("text", ["${missing}", "${a", "${a-b}", "${}", "${a:", "${missing:=${gone}}"])
def test_substitution_that_flux_refuses(tmp_path: Path, text: str) -> None:
    files = {"app/c.yaml": config_map("c", x=f"'{text}'"), "app/d.yaml": config_map("d", ok="${a}")}
    assert compare(tmp_path, files, VALUES).error is not None


@pytest.mark.parametrize(
    "value",
    [
        *(
            "yes",
            "no",
            "on",
            "off",
            "y",
            "N",
            "Yes",
            "OFF",
            "true",
            "False",
            "null",
            "~",
            "0123",
            "1e3",
            "0x1F",
        ),
        *(
            "0o17",
            "0b11",
            "1_000",
            "+1",
            "-0",
            "1.0",
            "1.50",
            ".5",
            "12:30:45",
            "2001-01-01",
            "1e400",
            "=",
            "<<",
        ),
        *(
            "2001-01-01T00:00:00Z",
            '""',
            "''",
            '"quoted"',
            "!!str 5",
            "!!int '7'",
            "[a, b]",
            "{a: b}",
            "&x 1",
            "- a",
        ),
        *(
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775809",
            "*x",
            "a: b",
            "# none",
            ".inf",
        ),
        *(
            "'a' b",
            "@x",
            "%x",
            "|",
            "a # b",
            "a\\nb",
            "1__0",
            "0x",
            "1.",
            "NaN",
            "0.1e-7",
            "é",
            "!!binary YQ==",
            "0_7",
        ),
    ],
)
def test_a_value_becomes_whatever_yaml_makes_of_it(tmp_path: Path, value: str) -> None:
    files = {
        "app/x.yaml": "apiVersion: example.test/v1\nkind: Thing\nmetadata: {name: x}\nspec: {x: '${x}'}\n"
    }
    spec = {"postBuild": {"substitute": {"x": value}}}
    compare(tmp_path, files, documents.dump(spec))


def test_keys_that_become_equal(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {'${a}': one, '${b}': two, on: three}\n"
    )
    compare(tmp_path, {"app/x.yaml": text}, "postBuild: {substitute: {a: same, b: same}}")
    compare(tmp_path, {"app/x.yaml": text}, "postBuild: {substitute: {a: on, b: '1.50'}}")


IMAGES = "images: [{name: nginx, newName: other, newTag: '2'}, {name: busybox, digest: 'sha256:22'}]"


@pytest.mark.parametrize(
    "override",
    [
        "{name: nginx, newTag: '3'}",
        "{name: nginx, newName: third}",
        "{name: nginx, digest: 'sha256:33'}",
        "{name: busybox, newTag: latest}",
        "{name: busybox, newName: third, newTag: '3', digest: 'sha256:44'}",
        "{name: nginx}",
        "{name: alpine, newTag: '3'}",
    ],
)
def test_images_of_both_are_merged_field_by_field(tmp_path: Path, override: str) -> None:
    compare(tmp_path, own(IMAGES), f"images: [{override}]")


OWN: dict[str, dict[str, str]] = {
    "no resources": {"app/kustomization.yaml": kustomization((), "namespace: x")},
    "only components": {"app/kustomization.yaml": kustomization((), "components: [../part]")} | COMPONENT,
    "only a generator": {
        "app/kustomization.yaml": kustomization((), "configMapGenerator: [{name: g, literals: [a=b]}]")
    },
    # managedByLabel would be compared in vain: the label carries the version of the program that builds.
    "its own build metadata": own("buildMetadata: [originAnnotations]"),
    "generators": own(
        """
        configMapGenerator:
        - {name: g, files: [one.txt, two=two.txt], envs: [e.env], literals: [c=d]}
        - {name: h, literals: [c=d], options: {disableNameSuffixHash: true, labels: {l: m}}}
        secretGenerator:
        - {name: s, literals: [p=q], type: Opaque}
        generatorOptions: {annotations: {made: by}, immutable: true}
        """,
        **{"one.txt": "1", "two.txt": "2\n3\n", "e.env": "A=1\n# x\nB=2\n"},
    ),
    "replacements": own(
        """
        replacements:
        - source: {kind: ConfigMap, name: settings, fieldPath: data.colour}
          targets: [{select: {kind: Deployment}, fieldPaths: [metadata.labels.tier]}]
        - path: r.yaml
        """,
        **{
            "r.yaml": "source: {kind: ConfigMap, name: settings, fieldPath: data.answer}\n"
            "targets: [{select: {kind: Deployment}, fieldPaths: ['spec.template.spec.containers.*.name'],"
            " options: {delimiter: '-', index: 0}}]\n"
        },
    ),
    "crds, configurations and a schema": own(
        "crds: [crd.yaml]\nconfigurations: [names.yaml]\nopenapi: {path: schema.json}\nnamePrefix: p-",
        **{
            "crd.yaml": "{}\n",
            "names.yaml": "namePrefix: [{path: metadata/labels/tier, kind: Deployment}]\n",
            "schema.json": '{"definitions": {}}',
        },
    ),
    "files for patches": own(
        """
        patches: [{path: p.yaml}, {path: j.json, target: {kind: ConfigMap}}]
        patchesStrategicMerge: [s.yaml]
        """,
        **{
            "p.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n",
            "j.json": '[{"op": "add", "path": "/data/j", "value": "k"}]',
            "s.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {s: t}\n",
        },
    ),
    "transformers as files, inline and as a folder": own(
        """
        transformers:
        - t.yaml
        - ../configs
        - |
          apiVersion: builtin
          kind: PrefixTransformer
          metadata: {name: inline}
          prefix: in-
          fieldSpecs: [{path: metadata/name}]
        """,
        **{
            "t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\npath: ../deep/p.yaml\n"
            "target: {kind: ConfigMap}\n",
            "../configs/kustomization.yaml": kustomization(["l.yaml"]),
            "../configs/l.yaml": "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: l}\n"
            "labels: {x: z}\nfieldSpecs: [{path: metadata/labels, create: true}]\n",
            "../deep/p.yaml": '[{"op": "add", "path": "/data/deep", "value": "1"}]',
        },
    ),
    "generators as files": own(
        "generators: [g.yaml]",
        **{
            "g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: made}\n"
            "files: [k=../f.txt]\n",
            "../f.txt": "content",
        },
    ),
    "bases, labels and replicas": own(
        """
        bases: [../base]
        labels: [{pairs: {l: m}, includeSelectors: true}]
        commonAnnotations: {x: z}
        replicas: [{name: web, count: 4}]
        sortOptions: {order: legacy}
        """,
        **{
            "../base/kustomization.yml": kustomization(["b.yaml"], "nameSuffix: -b"),
            "../base/b.yaml": config_map("base", a="b"),
        },
    ),
    "numbers and booleans where text belongs": own(
        "commonLabels: {version: 1.20, flag: yes, n: 012}\nimages: [{name: nginx, newTag: 1.30}]\n"
        "namespace: 1234567.5"
    ),
    "numbers in what Go embeds": own("configMapGenerator: [{name: 5, literals: [a=b]}]"),
    "numbers in labels of a generator": own(
        "configMapGenerator: [{name: g, literals: [a=b], options: {labels: {a: 1}}}]"
    ),
    "names in any case": own("NamePrefix: up-\nconfigmapgenerator: [{Name: g, LITERALS: [a=b]}]"),
    "fields nobody knows": own("whatever: {a: b}\nconfigMapGenerator: [{name: g, literals: [a=b], typo: 1}]"),
    "keys twice": own("namespace: one\nnamespace: two"),
    "two documents": own("namespace: one\n---\nnamespace: two"),
    "another kind": {"app/kustomization.yaml": "apiVersion: v1\nkind: Other\nresources: []\n"},
    "no kind": APP | {"app/kustomization.yaml": "resources: [config.yaml]\n"},
    "a list": {"app/kustomization.yaml": "[]\n"},
    "nothing at all": {"app/kustomization.yaml": ""},
    "two kustomization files": APP | {"app/Kustomization": kustomization(["config.yaml"])},
    "a file that is missing": own("crds: [gone.yaml]"),
    "a resource that is missing": {"app/kustomization.yaml": kustomization(["gone.yaml"])},
    "a cycle": {
        "app/kustomization.yaml": kustomization(["../other"]),
        "other/kustomization.yaml": kustomization(["../app"]),
    },
    "generated, with folders of their own": {
        "app/b.yaml": config_map("b", x="1"),
        "app/a/z.yml": config_map("z", x="1"),
        "app/a-b/y.yaml": config_map("y", x="1"),
        "app/a/own/kustomization.yaml": kustomization(["c.yaml"], "namePrefix: own-"),
        "app/a/own/c.yaml": config_map("c", x="1"),
        "app/a/own/unused.yaml": config_map("unused", x="1"),
        "app/readme.md": "not a manifest",
    },
    "generated, with a component": {
        "app/a.yaml": config_map("a", x="1"),
        "app/part/kustomization.yaml": kustomization(kind="Component"),
    },
    "generated, with what is no object": {"app/values.yaml": "replicas: 3\n"},
    "generated, empty": {"app/readme.md": ""},
    "generated, with a list": {
        "app/l.yaml": "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n"
        "- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}\n"
    },
    "the same object twice": {"app/a.yaml": config_map("a", x="1"), "app/b.yaml": config_map("a", x="2")},
    "an exec plugin": own(
        "generators: [g.yaml]",
        **{"g.yaml": "apiVersion: x/v1\nkind: Gen\nmetadata:\n  name: x\n  annotations:\n"
           "    config.kubernetes.io/function: '{exec: {path: ./run.sh}}'\n", "run.sh": "#!/bin/sh\ntouch ran\n"},
    ),
    "a helm chart": own("helmCharts: [{name: x, valuesFile: v.yaml}]", **{"v.yaml": "a: b\n"}),
    "local configuration is left out": {
        "app/c.yaml": config_map("c", x="1").replace(
            "{name: c}", "{name: c, annotations: {config.kubernetes.io/local-config: 'true'}}"
        ),
        "app/d.yaml": config_map("d", x="1"),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_every_field_of_a_kustomization(tmp_path: Path, name: str) -> None:
    compare(tmp_path, OWN[name], "targetNamespace: target\nnamePrefix: k-")
    compare(tmp_path, OWN[name], "")


def compare(tmp_path: Path, files: Mapping[str, str], spec: str) -> Rendering:
    """Build ``app`` of `files` with `spec`, here and with flux."""
    normal = {posixpath.normpath(path): text for path, text in files.items()}
    checkout = tmp_path / "checkout"
    shutil.rmtree(checkout, ignore_errors=True)
    write(checkout, normal)
    graph = Fleet(tmp_path / "builds").graph(tree_of(normal))
    document = documents.load(flux_kustomization("app", "./app", spec), path="")
    root = Kustomization(namespace="flux-system", name="app", spec=document["spec"])
    node = graph.entry(Start(path="app", root=root)).nodes["flux-system/app"]
    return check(graph, checkout, tmp_path, node)


@pytest.mark.slow
@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures are not part of the repository")
def test_the_graph_of_a_public_repository_is_that_of_a_recursive_build(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(FIXTURES / "home-cluster", checkout, symlinks=True)
    graph = Fleet(tmp_path / "builds").graph(tree_of(files_of(checkout)))
    entry = graph.entry(start_at(graph, "cluster/base"))
    done = Launcher(Redactor()).run(
        [
            *("flux", "build", "kustomization", "cluster-apps", "--namespace", "flux-system", "--dry-run"),
            *("--path", "./cluster/apps", "--kustomization-file", "cluster/base/fluxtomization.yaml"),
            *("--recursive", "--local-sources", "GitRepository/flux-system/flux-system=./"),
        ],
        cwd=checkout,
        environ=programs() | {"HOME": str(tmp_path)},
        timeout=120,
    )
    found = (documents.load(text, path="") for text in parts(done.text))
    # A recursive build begins below its root, and knows nothing of what Flux Operator makes.
    theirs = {"flux-system/cluster-apps", "flux-system/flux-system"} | {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in found
        if is_kustomization(item)
    }
    assert set(entry.nodes) == theirs
