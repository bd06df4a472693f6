"""`check` on files: every kind of bad input with its line, what is skipped and never passed, and three outputs."""

import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.cli.files import files
from resilience_operator.cli.files.documents import TEMPLATE
from resilience_operator.cli.main import main
from resilience_operator.cli.rule_texts import TEXTS
from tests.support import ROOT

GOOD = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, readinessProbe: {}, resources: {limits: {cpu: 1, memory: 1Gi}},
         image: "shop/web:1",
         ports: [{containerPort: 8080}]}
      dnsConfig:
        options:
        - name: ndots
          value: "2"
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
CLEAN = """apiVersion: apps/v1
kind: Deployment
metadata: {name: clean}
spec:
  replicas: 0
  selector: {matchLabels: {app: clean}}
  template:
    metadata: {labels: {app: clean}}
    spec:
      dnsConfig: {options: [{name: single-request-reopen}]}
      containers: [{name: clean, image: "shop/clean:1", readinessProbe: {}, resources: {limits: {cpu: 1, memory: 1Gi}}}]
"""
LIVE = (
    "skipped: [spread] live placement: where pods run is judged in a cluster (--cluster);"
    " files show the spec alone"
)
UNBUDGETED = (
    "skipped: [disruption-budget] 1 Deployment: no PodDisruptionBudget was read: whether one selects its pods is"
    " unknown"
)
UNMATCHED = (
    "skipped: [empty-service] 1 Service: its selector matches no workload of the input; Deployment clean may make such"
    " pods"
)
DNS = "Deployment default/web: dnsConfig.options lacks single-request-reopen"
REFUSED = "the API server would refuse this Deployment:"
Outcome = tuple[int, list[str], list[str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        code = main(["check", *arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def write(name: str, content: str | bytes) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def test_findings_bear_the_file_and_the_line_of_what_they_speak_of(check: Any) -> None:
    write("web.yaml", f"# the shop\n---\n{SERVICE}---\n{GOOD}")
    host, zone = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
    web = "Deployment default/web"
    graceful = f"[graceful-shutdown] {web}:"
    assert check("web.yaml") == (
        1,
        [
            f"web.yaml:17: [spread] {web}: topologySpreadConstraints has no entry for {host}",
            f"web.yaml:17: [spread] {web}: topologySpreadConstraints has no entry for {zone}",
            (
                f"web.yaml:19: {graceful} container web serves a port of a Service and has no preStop hook;"
                " terminationGracePeriodSeconds is 30; 45 are demanded"
            ),
            f"web.yaml:22: [dns-config] {DNS}",
            UNBUDGETED,
            LIVE,
            "4 findings in 1 of 2 objects (policy recommended)",
        ],
        [],
    )


def test_nothing_found_is_code_0(check: Any) -> None:
    write("clean.yaml", f"{CLEAN}---\n{SERVICE.replace('selector: {app: web}, ', '')}")
    code, out, err = check("clean.yaml")
    assert (code, out[-1], err) == (0, "0 findings in 0 of 2 objects (policy recommended)", [])


def spoilt(line: str, instead: str) -> str:
    assert line in CLEAN
    return CLEAN.replace(line, instead)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("a: [1\nb: 2\n", 2, "is not YAML: while parsing a flow sequence did not find expected ',' or ']'"),
        (
            "a: 1\n\tb: 2\n",
            2,
            "is not YAML: while scanning a plain scalar found a tab character that violates indentation",
        ),
        (f"{CLEAN}spec: 1\n", 4, f"{REFUSED} Expected `object`, got `int` - at `$.spec`"),
        (spoilt("replicas: 0", "replicas: {{ .Values.replicas }}"), 5, TEMPLATE),
        (spoilt("name: clean", 'name: "{{ .Release.Name }}"'), 1, TEMPLATE),
        ("{{- if .Values.enabled }}\nkind: Deployment\n{{- end }}\n", 1, TEMPLATE),
        (
            spoilt("replicas: 0", "replicas: many"),
            5,
            f"{REFUSED} Expected `int | null`, got `str` - at `$.spec.replicas`",
        ),
        (
            spoilt("labels: {app: clean}", "labels: {app: on}"),
            8,
            f"{REFUSED} Expected `str`, got `bool` - at `$.spec.template.metadata.labels[...]`",
        ),
        (spoilt("{name: clean}", "{}"), 1, "Deployment without metadata.name; write one"),
        (
            spoilt("apps/v1", "extensions/v1beta1"),
            1,
            "extensions/v1beta1 Deployment is no longer served by any API server; write apps/v1",
        ),
        ("just words\n", 1, "is not an object with apiVersion and kind"),
        ("kind: Deployment\n", 1, "has no apiVersion and kind: no manifest"),
        ("a: &a [*a]\n", 1, "is nested too deeply, or an alias contains itself"),
        (
            "a: !!python/object:os.system x\n",
            1,
            "the tag !!python/object:os.system has no meaning in a manifest; remove it",
        ),
        ("? [a, b]\n: 1\n", 1, "a key is a list or an object; write a string"),
        ("kind\0: x\n", 1, "is binary, not text"),
        (b"\n\n\xff\xfe\x01", 3, "is binary, or text that is not UTF-8"),
        ("[" * 5000, 1, "is not YAML: while increasing flow level exceeded maximum nesting depth"),
    ],
)
def test_bad_input_is_code_2_with_its_line_and_what_is_wrong(
    check: Any, content: str | bytes, line: int, message: str
) -> None:
    write("bad.yaml", content)
    assert check("bad.yaml") == (
        2,
        ["0 findings in 0 of 0 Deployments, 1 error (policy recommended)"],
        [f"bad.yaml:{line}: {message}"],
    )


def test_one_broken_document_does_not_hide_the_others(check: Any) -> None:
    write("both.yaml", f"{CLEAN}---\nspec: [\n---\n{GOOD}")
    code, out, err = check("both.yaml")
    assert (code, err) == (
        2,
        ["both.yaml:13: is not YAML: while parsing a flow node did not find expected node content"],
    )
    assert f"both.yaml:29: [dns-config] {DNS}" in out


def test_one_broken_item_of_a_list_does_not_hide_the_others(check: Any) -> None:
    items = "".join(
        f"- {text.replace(chr(10), chr(10) + '  ').rstrip()}\n"
        for text in (GOOD, spoilt("replicas: 0", "replicas: x"), SERVICE)
    )
    write("list.yaml", f"apiVersion: v1\nkind: List\nitems:\n{items}")
    code, out, err = check("list.yaml")
    assert (code, [line.partition(":")[2][:3] for line in err]) == (2, ["26:"])
    assert f"list.yaml:18: [dns-config] {DNS}" in out
    assert not any("no Service was read" in line for line in out)


def test_a_typed_list_gives_its_items_their_kind(check: Any) -> None:
    item = GOOD.partition("kind: Deployment\n")[2].replace("\n", "\n  ").rstrip()
    write("list.yaml", f"apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- {item}\n")
    assert f"list.yaml:16: [dns-config] {DNS}" in check("list.yaml")[1]


def test_a_file_over_the_cap_is_not_even_opened(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("big.yaml", "wb") as stream:
        stream.truncate(50 * 1024 * 1024)

    def opened(*_: Any) -> None:
        raise AssertionError("a file that is too big must not be read")

    monkeypatch.setattr(files, "_decoded", opened)
    assert check("big.yaml")[::2] == (
        2,
        ["big.yaml: is 52,428,800 bytes; files of more than 16,777,216 bytes are not read (--max-size)"],
    )


def test_the_cap_is_a_flag(check: Any) -> None:
    write("web.yaml", GOOD)
    assert check("--max-size", "100", "web.yaml")[0] == 2
    assert check("--max-size", "1000", "web.yaml")[0] == 1


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n---\n"])
def test_an_empty_file_alone_is_bad_input_and_beside_others_is_nothing(check: Any, content: str) -> None:
    write("all/empty.yaml", content)
    assert check("all/empty.yaml")[::2] == (
        2,
        ["all/empty.yaml: holds no object of Kubernetes: nothing was checked"],
    )
    write("all/clean.yaml", CLEAN)
    assert check("all")[0] == 0


def test_a_directory_without_manifests_is_bad_input(check: Any) -> None:
    write("docs/readme.md", "# hello")
    write("docs/.hidden/web.yaml", GOOD)
    assert check("docs")[::2] == (2, ["docs: has no file that ends in .yaml, .yml, .json or .toml"])


def test_a_path_that_is_not_there_is_bad_input_and_the_others_are_checked(check: Any) -> None:
    write("web.yaml", GOOD)
    code, out, err = check("gone.yaml", "web.yaml")
    assert (code, err) == (2, ["gone.yaml: cannot be read: No such file or directory"])
    assert f"web.yaml:15: [dns-config] {DNS}" in out


def test_directories_are_searched_without_hidden_ones_and_without_end(check: Any) -> None:
    write("tree/a/web.yaml", GOOD)
    write("tree/b/web.yml", GOOD)
    write("tree/c/web.json", json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}))
    write("tree/.git/web.yaml", GOOD)
    os.symlink("..", "tree/a/up")
    code, out, err = check("tree")
    assert (code, err, out[-1]) == (1, [], "6 findings in 2 of 2 Deployments (policy recommended)")
    assert [line.partition(":")[0] for line in out if "dns-config" in line] == [
        "tree/a/web.yaml",
        "tree/b/web.yml",
    ]


def test_documents_that_are_no_manifests_are_counted_in_a_directory(check: Any) -> None:
    write("chart/values.yaml", "replicas: 2\n")
    write("chart/clean.yaml", CLEAN)
    code, out, err = check("chart")
    assert (code, err) == (0, [])
    assert "skipped: 1 document without apiVersion and kind" in out


def test_json_has_lines_too(check: Any) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": None},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "web", "image": "web"}]}},
        },
    }
    write("web.json", json.dumps(body, indent=1))
    assert f"web.json:15: [dns-config] {DNS}" in check("web.json")[1]
    write("tabs.json", json.dumps(body, indent="\t"))
    assert f"tabs.json:15: [dns-config] {DNS}" in check("tabs.json")[1]
    write("bad.json", '{\n "a": 1,\n}')
    assert check("bad.json")[2] == [
        "bad.json:3: is not JSON: Expecting property name enclosed in double quotes, column 1"
    ]
    twice = json.dumps(body, indent=1).replace('"kind"', '"kind": "Service",\n "kind"')
    write("twice.json", twice)
    assert f"twice.json:16: [dns-config] {DNS}" in check("twice.json")[1], "the last counts, as for kubectl"


def test_aliases_are_followed_and_bounded(check: Any) -> None:
    merged = CLEAN.replace("spec:\n  replicas", "x: &x {replicas: 5}\nspec:\n  <<: *x\n  paused", 1)
    write("merged.yaml", merged.replace("paused: 0", "paused: no"))
    assert check("merged.yaml")[1][-1] == "2 findings in 1 of 1 Deployment (policy recommended)"
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    write("bomb.yaml", bomb)
    code, _, err = check("bomb.yaml")
    assert code == 2
    assert err[0].endswith("its aliases (*name) expand to too many values; write them out")


@pytest.mark.parametrize(
    ("word", "ignored"), [("all", True), ('"all"', True), ("spread", False), ("on", None), ("yes", None)]
)
def test_words_are_read_as_the_api_server_reads_them(check: Any, word: str, ignored: bool | None) -> None:
    write(
        "web.yaml",
        GOOD.replace("  name: web\n", f"  name: web\n  labels: {{resilience.dev/ignore: {word}}}\n"),
    )
    code, out, _ = check("web.yaml")
    assert code == (2 if ignored is None else 0 if ignored else 1)
    assert any(line.startswith("web.yaml:1: ignored: ") for line in out) is (ignored is not None)


def test_opt_outs_of_the_namespace_hold_and_one_without_a_readable_end_is_said_to(check: Any) -> None:
    namespace = (
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: default\n  annotations:\n"
        "    resilience.dev/ignore: dns-config\n    resilience.dev/ignore-until: soon\n"
        "    resilience.dev/ignore-reason: ticket 7\n"
    )
    write("web.yaml", f"{GOOD}---\n{namespace}")
    _, out, _ = check("web.yaml")
    assert not any("[dns-config]" in line for line in out)
    assert (
        "web.yaml:1: ignored: Deployment default/web is opted out of dns-config (ticket 7);"
        " resilience.dev/ignore-until 'soon' is no RFC 3339 date or time: the opt-out holds for ever"
    ) in out


def test_workloads_that_are_not_covered_and_rules_without_their_kind_are_skipped(check: Any) -> None:
    others = "".join(
        f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"
        for version, kind in (
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("argoproj.io/v1alpha1", "Rollout"),
            ("v1", "ConfigMap"),
        )
    )
    write("web.yaml", f"{GOOD}{others}")
    assert [line for line in check("web.yaml")[1] if line.startswith("skipped")] == [
        "skipped: [graceful-shutdown] 1 Deployment: no Service was read: who sends it requests is unknown",
        UNBUDGETED,
        "skipped: 2 StatefulSets: the operator judges Deployments",
        "skipped: 1 DaemonSet: the operator judges Deployments",
        "skipped: 1 Rollout: the operator judges Deployments",
        LIVE,
    ]


PATCH = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - {name: web, resources: {limits: {cpu: 2}}}
      - {name: sidecar, $patch: delete}
"""
KUSTOMIZATION = """apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../base]
patches: [{path: replicas.yaml}]
"""
HPA = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 5
"""
RENDER = "a patch? render it first: kustomize build DIR | kubectl resilience check -"
NO_SELECTOR = f"Deployment web is incomplete (spec.selector is missing): {RENDER}"


def test_a_patch_is_no_deployment_it_is_named_as_skipped_and_hides_none(check: Any) -> None:
    whole = f"{GOOD}---\n{SERVICE}---\n{HPA}"
    write("k/base/web.yaml", whole)
    code, out, err = check("k")
    write("k/overlays/prod/kustomization.yaml", KUSTOMIZATION)
    write("k/overlays/prod/replicas.yaml", f"# more of it\n---\n{PATCH}")
    assert (code, err) == (1, [])
    skips = [f"skipped: k/overlays/prod/replicas.yaml:3 {NO_SELECTOR}", LIVE]
    assert check("k") == (1, [*out[:-2], *skips, out[-1]], [])


@pytest.mark.parametrize(
    ("line", "instead", "lacking"),
    [
        ("  selector: {matchLabels: {app: clean}}\n", "", "spec.selector is missing"),
        ("{matchLabels: {app: clean}}", "{matchLabels: {}}", "spec.selector is missing"),
        (
            "containers: [{name: clean",
            "initContainers: [{name: x",
            "spec.template.spec.containers is missing",
        ),
        (' image: "shop/clean:1",', "", "container clean has no image"),
        (
            "spec:\n      dns",
            "spec:\n      initContainers: [{name: x}]\n      dns",
            "container x has no image",
        ),
    ],
)
def test_what_the_api_server_would_refuse_as_incomplete_is_not_judged(
    check: Any, line: str, instead: str, lacking: str
) -> None:
    write("clean.yaml", f"{SERVICE}---\n{spoilt(line, instead)}")
    assert check("clean.yaml") == (
        0,
        [
            UNMATCHED,
            f"skipped: clean.yaml:6 Deployment clean is incomplete ({lacking}): {RENDER}",
            "0 findings in 0 of 1 object (policy recommended)",
        ],
        [],
    )


def test_where_all_are_patches_nothing_was_checked(check: Any) -> None:
    write("prod/kustomization.yaml", KUSTOMIZATION)
    write("prod/replicas.yaml", PATCH)
    assert check("prod") == (
        2,
        [
            f"skipped: prod/replicas.yaml:1 {NO_SELECTOR}",
            "0 findings in 0 of 0 Deployments, 1 error (policy recommended)",
        ],
        ["prod: holds no object of Kubernetes: nothing was checked"],
    )


def test_json_and_sarif_name_what_is_skipped_as_well(check: Any) -> None:
    write("web.yaml", f"{PATCH}---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db}}\n")
    web = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "web"}
    why = NO_SELECTOR.removeprefix("Deployment web ")
    covered = "the operator judges Deployments"
    code, out, _ = check("web.yaml", "-o", "json")
    assert (code, json.loads("\n".join(out))["skipped"]) == (
        0,
        [
            {
                "object": web | {"kind": "StatefulSet", "name": "db"},
                "why": covered,
                "file": "web.yaml",
                "line": 12,
            },
            {"object": web, "why": why, "file": "web.yaml", "line": 1},
        ],
    )
    code, out, _ = check("web.yaml", "-o", "sarif")
    (run,) = json.loads("\n".join(out))["runs"]
    (told,) = run["invocations"]
    assert (code, told["executionSuccessful"], run["results"]) == (0, True, [])
    assert [(one["level"], one["message"]["text"]) for one in told["toolExecutionNotifications"]] == [
        ("note", f"skipped: StatefulSet db: {covered}"),
        ("note", f"skipped: {NO_SELECTOR}"),
    ]


COREDNS = """apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53, protocol: UDP}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec: {containers: [{name: coredns, image: coredns}]}
"""
CACHE = """---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: node-local-dns, namespace: kube-system}
spec:
  template:
    spec: {containers: [{name: node-cache, args: [-localip, "169.254.20.10,10.96.0.10"]}]}
"""
OTHER_DAEMON_SET = """---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system}
"""
ASKS_CACHE = """apiVersion: resilience.dev/v1alpha1
kind: ResiliencePolicy
metadata: {name: mine}
spec: {coreDNS: {nodeLocalCache: {}}}
"""
SKIPPED = "skipped: [node-local-cache] 1 Deployment: "
LIVE_CACHE = f"{SKIPPED}on how many nodes the DNS cache is ready is judged in a cluster (--cluster)"


@pytest.mark.parametrize(
    ("others", "starts"),
    [
        pytest.param(
            "",
            [f"{SKIPPED}no DaemonSet was read: whether the nodes run a DNS cache is unknown", "0 findings"],
            id="no DaemonSet",
        ),
        pytest.param(
            OTHER_DAEMON_SET,
            [
                f"{SKIPPED}no Node was read: whether there is one that lacks a DNS cache is unknown",
                "skipped: 1 DaemonSet: the operator judges Deployments",
                "0 findings",
            ],
            id="DaemonSets, and no cache among them",
        ),
        pytest.param(
            CACHE,
            [
                LIVE_CACHE,
                "0 findings",
            ],
            id="the cache",
        ),
        pytest.param(
            f"{CACHE}---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-1}}\n".replace(
                "kube-system", "shop"
            ),
            [
                f"{SKIPPED}no DaemonSet was read: whether the nodes run a DNS cache is unknown",
                "skipped: 1 DaemonSet: the operator judges Deployments",
                "0 findings",
            ],
            id="a namesake in another Namespace",
        ),
    ],
)
def test_the_dns_cache_of_the_nodes_is_judged_in_files_too(
    check: Any, others: str, starts: list[str]
) -> None:
    write("dns.yaml", f"{COREDNS}{others}")
    write("mine.yaml", ASKS_CACHE)
    code, out, err = check("dns.yaml", "-p", "mine.yaml")
    assert (code, err) == (int("1 finding in" in out[-1]), [])
    assert [line[: len(start)] for line, start in zip(out, starts, strict=True)] == starts


POLICY = """apiVersion: resilience.dev/v1alpha1
kind: ResiliencePolicy
metadata: {name: mine}
spec:
  deployments:
"""


def test_the_policys_scope_counts_for_files_too(check: Any) -> None:
    write("web.yaml", GOOD)
    write("in.yaml", f"{POLICY}    namespaces: {{include: [default]}}\n    dnsConfig: {{}}\n")
    assert check("web.yaml", "-p", "in.yaml")[1] == [
        f"web.yaml:15: [dns-config] {DNS}",
        "1 finding in 1 of 1 Deployment (policy mine)",
    ]
    write("out.yaml", f"{POLICY}    namespaces: {{include: [shop]}}\n    dnsConfig: {{}}\n")
    out = "0 findings in 0 of 0 Deployments, 1 out of the policy's scope (policy mine)"
    assert check("web.yaml", "-p", "out.yaml") == (0, [out], [])
    write(
        "tenant.yaml",
        f"{POLICY}    namespaceSelector: {{matchLabels: {{team: shop}}}}\n    dnsConfig: {{}}\n",
    )
    other = write("other.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")
    for paths in (["web.yaml"], ["web.yaml", other]):
        assert check(*paths, "-p", "tenant.yaml")[1] == [
            "skipped: [dns-config] 1 Deployment: Namespace default was not read: namespaceSelector decides",
            "0 findings in 0 of 0 Deployments (policy mine)",
        ]
    own = write(
        "own.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {team: shop}}\n"
    )
    assert check("web.yaml", own, "-p", "tenant.yaml")[0] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{POLICY}    spreads: {{}}\n", "p.yaml:6: spec.deployments.spreads: unknown field: remove it"),
        (
            f"{POLICY}    dnsConfig: {{}}\n---\n{POLICY}",
            "p.yaml: holds 2 documents; write one ResiliencePolicy",
        ),
        ("a: [", "p.yaml:1: is not YAML"),
        (GOOD, "p.yaml:1: apiVersion: write resilience.dev/v1alpha1, not 'apps/v1'"),
    ],
)
def test_a_policy_that_the_api_server_would_refuse_is_bad_input(check: Any, text: str, message: str) -> None:
    write("web.yaml", GOOD)
    write("p.yaml", text)
    code, out, err = check("web.yaml", "-p", "p.yaml")
    assert (code, out, err[0][: len(message)]) == (2, [], message)


def test_of_a_policy_with_three_mistakes_all_three_are_told(check: Any) -> None:
    write("web.yaml", GOOD)
    spec = "    spread: {constraints: [{maxSkew: 0}]}\n    replicas: {min: two}\n"
    write("p.yaml", f"{POLICY}{spec}")
    assert check("web.yaml", "-p", "p.yaml") == (
        2,
        [],
        [
            "p.yaml:6: spec.deployments.spread.constraints[0].topologyKey: is required",
            "p.yaml:6: spec.deployments.spread.constraints[0].maxSkew: write a whole number from 1 to 100, not 0",
            "p.yaml:7: spec.deployments.replicas.min: write a whole number, not 'two'",
        ],
    )


def test_without_a_path_or_with_both_nothing_is_guessed(check: Any) -> None:
    message = "check files or directories (- is standard input), or --cluster; not both"
    assert check() == (2, [], [message])
    assert check("web.yaml", "--cluster") == (2, [], [message])


def test_json_output_is_one_object(check: Any) -> None:
    write("web.yaml", f"{GOOD}---\nspec: [\n")
    code, out, err = check("web.yaml", "-o", "json")
    body = json.loads("\n".join(out))
    web = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "web"}
    options = [{"name": "ndots", "value": "2"}]
    assert (code, err) == (2, [])
    assert body["findings"][-1] == {
        "rule": "dns-config",
        "reason": "MissingOption",
        "severity": "warning",
        "object": web,
        "message": "dnsConfig.options lacks single-request-reopen",
        "path": "spec.template.spec.dnsConfig.options",
        "observed": options,
        "desired": [*options, {"name": "single-request-reopen"}],
        "file": "web.yaml",
        "line": 15,
    }
    assert body["summary"] == {
        "findings": 3,
        "objects": 1,
        "deployments": 1,
        "drifted": 1,
        "outOfScope": 0,
        "ignored": 0,
        "errors": 1,
    }
    assert body["skipped"] == [
        {
            "rule": "graceful-shutdown",
            "object": web,
            "why": "no Service was read: who sends it requests is unknown",
            "file": "web.yaml",
            "line": 1,
        },
        {
            "rule": "disruption-budget",
            "object": web,
            "why": "no PodDisruptionBudget was read: whether one selects its pods is unknown",
            "file": "web.yaml",
            "line": 1,
        },
    ]
    assert [(error["file"], error["line"]) for error in body["errors"]] == [("web.yaml", 20)]


def test_sarif_output_has_what_the_standard_requires(check: Any) -> None:
    write("a b/web.yaml", f"{GOOD.replace('web:1', 'web:1-alpine')}---\nspec: [\n")
    code, out, _ = check("a b/web.yaml", "-o", "sarif")
    log = json.loads("\n".join(out))
    (run,) = log["runs"]
    assert (code, log["version"]) == (2, "2.1.0")
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(TEXTS)
    assert run["invocations"][0]["executionSuccessful"] is False
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    region = notification["locations"][0]["physicalLocation"]["region"]
    assert (notification["level"], region) == ("error", {"startLine": 20})
    assert [result["level"] for result in run["results"]] == ["warning", "warning", "note"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        physical = result["locations"][0]["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == "a%20b/web.yaml"
        assert physical["region"]["startLine"] >= 1
    assert len({result["partialFingerprints"]["finding/v1"] for result in run["results"]}) == 3


def test_standard_input_is_a_file_without_a_name() -> None:
    def piped(text: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "resilience_operator.cli.main", "check", "-"]
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, cwd=ROOT / "operator"
        )
        return done.returncode, done.stdout, done.stderr

    code, out, err = piped(GOOD)
    assert (code, err) == (1, "")
    assert f"<stdin>:15: [dns-config] {DNS}\n" in out
    assert piped(f'{{"a": 1}}{GOOD}')[0] == 2
    assert piped("")[::2] == (2, "-: holds no object of Kubernetes: nothing was checked\n")


def test_many_files_are_read_by_several_processes_and_said_in_order(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        write(f"all/{number:02}.yaml", GOOD if number % 5 else "a: [")
    alone = check("all")
    monkeypatch.setattr(files, "MANY", 1)
    monkeypatch.setattr(files, "CHUNK", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert check("all") == alone
    assert alone[0] == 2
    assert [line.partition(":")[0] for line in alone[2]] == ["all/00.yaml", "all/05.yaml", "all/10.yaml"]


INCIDENTS = {
    "one-node-pileup": {"spread"},
    "ungraceful-ingress": {"graceful-shutdown"},
    "dns-five-seconds": {"dns-config"},
    "dns-scale-down": {"coredns-floor", "coredns-spread"},
    "empty-service": {"empty-service"},
}


@pytest.mark.parametrize(("incident", "rules"), INCIDENTS.items())
def test_each_example_shows_exactly_its_incident(check: Any, incident: str, rules: set[str]) -> None:
    folder = ROOT / "examples" / incident
    code, out, err = check(str(folder / "broken.yaml"), "-p", str(folder / "policy.yaml"), "-o", "json")
    assert (code, err) == (1, [])
    assert {finding["rule"] for finding in json.loads("\n".join(out))["findings"]} == rules


def test_on_a_terminal_findings_are_grouped_with_counts_by_rule(capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(ROOT / "examples" / "one-node-pileup" / "broken.yaml")
    main(["check", folder])
    last = capsys.readouterr().out.splitlines()[-1]
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    argv = [sys.executable, "-m", "resilience_operator.cli.main", "check", folder]
    env = os.environ | {"TERM": "dumb", "COLUMNS": "80"}
    with subprocess.Popen(argv, stdout=slave, stderr=subprocess.DEVNULL, env=env) as running:
        os.close(slave)
        lines = [line.rstrip() for line in read_all(master).splitlines()]
        assert running.wait(timeout=60) == 1
    assert all(len(line) <= 80 for line in lines)
    found = [line for line in lines if line.startswith("  warning ")]
    objects = [line for line in lines if line.startswith("Deployment ")]
    (total,) = [line for line in lines if " findings on " in line]
    assert len(objects) == len(set(objects)) < len(found)
    assert f" on {len(objects)} objects: spread " in total
    assert lines[-1] == last


def read_all(descriptor: int) -> str:
    """All that was written to a terminal that nobody holds any more."""
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        parts = []
        try:
            while part := stream.read(65536):
                parts.append(part)
        except OSError:  # The other side is closed.
            pass
    return b"".join(parts).decode()
