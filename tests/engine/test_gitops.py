"""Settings of an Argo CD Application that take our values away are findings; what is harmless is none."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.leaves import DNS_OPTIONS, GRACE, REPLICAS, constraint_path
from resilience_operator.cluster.objects.workloads import Application, Claim, Deployment, DeploymentSpec
from resilience_operator.cluster.ownership import in_force
from resilience_operator.core.findings import Demand, State
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.engine.gitops import settings_that_bite
from resilience_operator.engine.ownership import Standing, judge
from resilience_operator.engine.resolve import Resolution
from resilience_operator.policy.common import Conflicts
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.workloads.view import DeploymentView
from tests.support.views import deployment, view

POLICY = Policy("production", "p-1")
OTHER = Policy("other", "p-2")
NOTHING = Resolution((), {}, {}, {})
HOST = constraint_path("kubernetes.io/hostname", "ScheduleAnyway")
GRACE_POINTER = "/spec/template/spec/terminationGracePeriodSeconds"
IGNORED = {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas", GRACE_POINTER]}
BY_MANAGER = {"group": "apps", "kind": "Deployment", "managedFieldsManagers": ["resilience-operator"]}
RESPECT = "RespectIgnoreDifferences=true"
HERE = "https://kubernetes.default.svc"


def application(*options: str, ignored: Any = (), server: str = HERE) -> Application:
    """Application shop with these syncOptions and ignoreDifferences."""
    spec: dict[str, Any] = {"syncPolicy": {"syncOptions": list(options)}, "ignoreDifferences": list(ignored)}
    spec["destination"] = {"server": server}
    return msgspec.convert({"metadata": {"name": "shop", "namespace": "argocd"}, "spec": spec}, Application)


def held(
    path: Path,
    was: Any,
    known: Application | None,
    *claims: Claim,
    rule: str = "replicas",
    chosen: Any = (),
    annotations: Any = (),
) -> DeploymentView:
    """shop/web, of which we hold that leaf for policy production."""
    meta = {
        "annotations": {
            "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web",
            **dict(annotations),
        }
    }
    bare = deployment(meta=meta)
    ours = Claim("resilience-operator", "Apply", leaves=frozenset([str(path)]))
    subject = Deployment(bare.metadata, bare.spec, bare.status, (ours, *claims), frozenset(map(str, chosen)))
    state = ObjectState("d-1", {str(path): Held(rule, 3, was, policies=("p-1",))})
    return view(subject, state=state, application=known)


def told(subject: DeploymentView, opted_out: tuple[str, ...] = ()) -> list[tuple[str, str, str, State, str]]:
    found = settings_that_bite(subject, NOTHING, [(POLICY, opted_out), (OTHER, ())])
    return [(one.policy, one.finding.rule, one.finding.reason, one.state, one.message) for one in found]


def by_argo(path: Path, operation: str = "Apply") -> Claim:
    return Claim("argocd-controller", operation, leaves=frozenset([str(path)]))


LOST = (
    "production",
    "replicas",
    "OverrideNotRespected",
    State.REPORT_ONLY,
    (
        "Argo CD application shop ignores differences of spec.replicas, but its next sync writes what Git sets there; "
        "add RespectIgnoreDifferences=true to its syncOptions, or commit the value"
    ),
)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(held(REPLICAS, 2, application(ignored=[IGNORED])), [LOST], id="its path is ignored"),
        pytest.param(
            held(REPLICAS, 2, application(ignored=[BY_MANAGER])),
            [],
            id="our manager is ignored, which finds nothing: we leave no entry",
        ),
        pytest.param(
            held(
                REPLICAS,
                2,
                application(ignored=[{"group": "*", "kind": "*", "jsonPointers": ["/spec/replicas"]}]),
            ),
            [LOST],
            id="the field is ignored by its pointer",
        ),
        pytest.param(
            held(
                REPLICAS,
                2,
                application(ignored=[{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec"]}]),
            ),
            [LOST],
            id="the field is ignored with all that lies beside it",
        ),
        pytest.param(held(REPLICAS, 2, application(RESPECT, ignored=[IGNORED])), [], id="it is respected"),
        pytest.param(held(REPLICAS, 2, application()), [], id="nothing is ignored"),
        pytest.param(
            held(REPLICAS, 2, application(ignored=[IGNORED | {"name": "api"}])), [], id="of another object"
        ),
        pytest.param(
            held(REPLICAS, 2, application(ignored=[IGNORED | {"namespace": "x"}])),
            [],
            id="of another namespace",
        ),
        pytest.param(
            held(REPLICAS, 2, application(ignored=[IGNORED | {"kind": "StatefulSet"}])),
            [],
            id="of another kind",
        ),
        pytest.param(
            held(REPLICAS, 2, application(ignored=[IGNORED | {"group": "extensions"}])),
            [],
            id="of another group",
        ),
        pytest.param(
            held(
                REPLICAS,
                2,
                application(ignored=[{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/re"]}]),
            ),
            [],
            id="half a name is no pointer to it",
        ),
        pytest.param(held(HOST, ABSENT, application(ignored=[IGNORED])), [], id="Git does not set it"),
        pytest.param(held(GRACE, 30, application(ignored=[IGNORED])), [], id="only the server filled it in"),
        pytest.param(
            held(GRACE, 30, application(ignored=[IGNORED]), by_argo(HOST)),
            [(*LOST[:4], LOST[4].replace("spec.replicas", str(GRACE)))],
            id="what is the default may stand in Git all the same, where Git is applied by the server",
        ),
        pytest.param(
            held(GRACE, 30, application(ignored=[IGNORED]), chosen=[GRACE]),
            [(*LOST[:4], LOST[4].replace("spec.replicas", str(GRACE)))],
            id="what is the default stands in last-applied",
        ),
    ],
)
def test_an_override_that_is_ignored_and_not_respected_is_a_finding(
    subject: DeploymentView, expected: Any
) -> None:
    assert told(subject) == expected


@pytest.mark.parametrize(
    ("subject", "where"),
    [
        (held(REPLICAS, ABSENT, application("Replace=true")), "syncOption Replace=true"),
        (
            held(REPLICAS, ABSENT, application(RESPECT, "Replace=true", ignored=[IGNORED])),
            "syncOption Replace=true",
        ),
        (
            held(
                REPLICAS,
                2,
                None,
                annotations={"argocd.argoproj.io/sync-options": "Prune=false, Replace=true"},
            ),
            "annotation argocd.argoproj.io/sync-options: Replace=true",
        ),
    ],
)
def test_an_application_that_writes_whole_objects_is_a_finding(subject: DeploymentView, where: str) -> None:
    name = "Argo CD application shop" if subject.application is not None else "Argo CD"
    assert told(subject) == [
        (
            "production",
            "replicas",
            "ReplacedAtSync",
            State.REPORT_ONLY,
            (
                f"every sync of {name} writes the whole object anew, without spec.replicas ({where}); "
                "take the option away, or commit the value"
            ),
        )
    ]


HARMLESS = [
    held(REPLICAS, 2, application(RESPECT, "Replace=true", ignored=[IGNORED])),
    held(REPLICAS, ABSENT, application("Force=true")),
    held(REPLICAS, 2, None, annotations={"argocd.argoproj.io/sync-options": "Force=true"}),
    held(
        REPLICAS,
        2,
        None,
        annotations={
            "argocd.argoproj.io/tracking-id": "shop:apps/StatefulSet:shop/web",
            "argocd.argoproj.io/sync-options": "Replace=true",
        },
    ),
]


@pytest.mark.parametrize(
    "subject", HARMLESS, ids=["copied-before", "of-no-application", "only-where-it-fails", "of-another"]
)
def test_what_replaces_nothing_of_ours_is_no_finding(subject: DeploymentView) -> None:
    assert told(subject) == []


@pytest.mark.parametrize(
    ("known", "standing", "ours"),
    [
        pytest.param(
            application(RESPECT, ignored=[IGNORED]),
            Standing.FREE,
            True,
            id="told to repeat whatever is there",
        ),
        pytest.param(
            application(RESPECT, ignored=[BY_MANAGER]),
            Standing.CHOSEN,
            False,
            id="told to look for an entry of ours",
        ),
        pytest.param(
            application(RESPECT, ignored=[IGNORED], server="https://hub.example.com"),
            Standing.CHOSEN,
            False,
            id="of another cluster",
        ),
        pytest.param(
            application(ignored=[IGNORED]), Standing.CHOSEN, False, id="told to ignore it in the diff alone"
        ),
        pytest.param(
            application(RESPECT), Standing.CHOSEN, False, id="told to respect, and nothing is ignored"
        ),
        pytest.param(None, Standing.CHOSEN, False, id="nobody knows"),
    ],
)
def test_what_argo_cd_copies_from_us_is_nobodys_wish(
    known: Application | None, standing: Standing, ours: bool
) -> None:
    subject = held(REPLICAS, 2, known, by_argo(REPLICAS))
    subject = replace(subject, deployment=msgspec.structs.replace(subject.deployment, spec=DeploymentSpec(3)))
    wanted = Demand("replicas", REPLICAS, 4)
    assert judge(wanted, subject, Conflicts.REPORT).standing is standing
    record = subject.state.leaves[str(REPLICAS)]
    assert in_force(subject.target, REPLICAS, record, known) is ours


@pytest.mark.parametrize(
    ("pointer", "path", "hidden"),
    [
        ("/spec/template", HOST, True),
        ("/spec/template/spec/topologySpreadConstraints", HOST, True),
        ("/spec/template/spec/topologySpreadConstraints/0", HOST, False),
        ("/spec/template/spec/containers", HOST, False),
        ("", REPLICAS, False),
    ],
)
def test_a_pointer_hides_what_lies_below_it(pointer: str, path: Path, hidden: bool) -> None:
    entry = {"group": "apps", "kind": "Deployment", "jsonPointers": [pointer]}
    subject = held(path, 2, application(RESPECT, ignored=[entry]))
    assert application(RESPECT, ignored=[entry]).copies(subject.ref, path) is hidden


def test_another_manager_beside_argo_cd_keeps_its_wish() -> None:
    fleet = Claim("fleet", "Apply", leaves=frozenset([str(REPLICAS)]))
    subject = held(REPLICAS, 2, application(RESPECT, ignored=[IGNORED]), by_argo(REPLICAS), fleet)
    assert judge(Demand("replicas", REPLICAS, 4), subject, Conflicts.REPORT).standing is Standing.CHOSEN


def test_of_an_object_that_is_opted_out_nothing_is_said() -> None:
    subject = held(REPLICAS, 2, application("Replace=true"))
    assert told(subject, ("spread",)) != []
    assert told(subject, ("replicas",)) == []


def test_where_nothing_is_held_or_written_no_setting_bites() -> None:
    bare = replace(held(DNS_OPTIONS, 2, application("Replace=true")), state=ObjectState())
    assert told(bare) == []
