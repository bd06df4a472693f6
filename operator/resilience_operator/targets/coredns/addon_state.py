"""The Amazon EKS add-on that cluster DNS may be: what AWS says of it, with what we remember of it in the cluster.

Used by views. No update of AWS can carry our state with it: EKS's objects have no annotations, and a tag holds 256
characters. It lies on the Deployment that the add-on keeps, in an annotation of its own, which EKS leaves alone
(PRESERVE), and is written before AWS is asked. So one of three things is true of a write to AWS that is remembered
there: it has not happened yet, it has, or EKS did not take it. Which, is read from AWS alone.

Nobody owns a field at AWS. The configuration is ours where it is what we set, else somebody else's.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

import msgspec

from resilience_operator.cluster.leaves import CONFIGURATION
from resilience_operator.cluster.objects.workloads import Addon, AddonReading, Claim, Deployment, Meta
from resilience_operator.cluster.plausible import plausible
from resilience_operator.core.plain import QUOTED, plain
from resilience_operator.core.state import (
    ADDON_ANNOTATION,
    FIELD_MANAGER,
    MAX_ADDON_TEXT,
    Held,
    ObjectState,
    Quarantine,
    UnreadableStateError,
    encode,
    read,
)

EKS_MANAGER = "eks"
"""The field manager of Amazon EKS add-ons."""

PLACE = ("kube-system", "coredns")
KIND = "Addon"
KEY = (*PLACE, KIND)
LEAF = str(CONFIGURATION)

NOT_ASKED = "AWS was not asked"
UNANSWERED = "AWS has not answered yet"
EMPTY_CONFIGURATION = "{}"
"""What is written where there was no configuration: an update without one leaves the present one as it is."""

UPDATE_FAILED = "UpdateFailed"
_STRANGER = "somebody at AWS"
_FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Intent:
    """A write to AWS as it was remembered before it was sent: digests of the configuration before and after it.

    `modified`: when AWS had last changed the add-on by then. `policies`: uid -> digest of spec.
    """

    before: str
    after: str
    modified: str
    policies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """The add-on, our state of it, and why that is not believed ("" where it is, or where there is none)."""

    addon: Addon
    state: ObjectState = ObjectState()
    distrust: str = ""

    @property
    def decided_about(self) -> bool:
        """True where its configuration is known, or we hold something of it: there may be something to write."""
        return not self.addon.reading.problem or bool(self.state) or bool(self.distrust)


def digest(configuration: str) -> str:
    """A short name of a configuration."""
    return sha256(configuration.encode()).hexdigest()[:16]


def given_back(was: str) -> str:
    """What is written to give the former configuration back."""
    return was or EMPTY_CONFIGURATION


def managed(deployment: Deployment) -> bool:
    """True where an EKS add-on keeps the Deployment."""
    return any(claim.manager == EKS_MANAGER for claim in deployment.claims)


def uid_of(deployment_uid: str) -> str:
    """What tells the add-on of the Deployment with that uid from any other object."""
    return f"{deployment_uid}/addon"


def intent(reading: AddonReading, configuration: str, policies: Mapping[str, str]) -> Intent:
    """That this configuration is about to be written; `policies`: uid -> digest of spec."""
    return Intent(digest(reading.configuration), digest(configuration), reading.modified, policies)


def written(state: ObjectState, intent: Intent | None) -> str:
    """The annotation's text."""
    body = json.loads(encode(state))
    if intent is not None:
        body["intent"] = {
            "before": intent.before,
            "after": intent.after,
            "modified": intent.modified,
            "policies": dict(intent.policies),
        }
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def remembered(text: str) -> tuple[ObjectState, Intent | None]:
    """The annotation as it was written, whatever became of it. Raises UnreadableStateError."""
    if len(text.encode(errors="replace")) > MAX_ADDON_TEXT:
        raise UnreadableStateError(f"it is longer than {MAX_ADDON_TEXT // 1024} KiB")
    try:
        body = json.loads(text)
        noted = body.pop("intent", None) if isinstance(body, dict) else None
        intent = msgspec.convert(noted, Intent | None)
    except (ValueError, RecursionError) as error:
        why = plain(repr(error), QUOTED)
        raise UnreadableStateError(f"not readable as state of this operator: {why}") from error
    state = read(body)
    if not state.leaves.keys() <= {LEAF}:
        raise UnreadableStateError(
            f"this operator never writes {plain(', '.join(sorted(state.leaves)), QUOTED)} of an add-on"
        )
    if not all(plausible(CONFIGURATION, held) for held in state.leaves.values()):
        raise UnreadableStateError("a configuration is a text")
    return state, intent


def see(deployment: Deployment, reading: AddonReading | None) -> Seen | None:
    """The add-on of the Deployment; None where AWS was not asked and nothing of it is remembered."""
    text = deployment.metadata.annotations.get(ADDON_ANNOTATION)
    if reading is None and text is None:
        return None
    reading = reading or AddonReading(problem=NOT_ASKED)
    state, intent, distrust = _believed(deployment, text)
    held = state.leaves.get(LEAF)
    if held is None:
        return Seen(_addon(deployment, reading, _busy(reading)), state, distrust)
    if reading.problem:  # As we left it, until AWS says otherwise.
        return Seen(
            _addon(
                deployment, msgspec.structs.replace(reading, configuration=held.set), _busy(reading), held
            ),
            state,
        )
    busy = _busy(reading)
    if intent is not None:
        state, held, refused = _settled(state, held, intent, reading)
        busy = busy or refused
    return Seen(_addon(deployment, reading, busy, held), state)


def _busy(reading: AddonReading) -> str:
    if reading.problem:
        return f"waits: {reading.problem}"
    return "waits: an update of the add-on is in flight" if reading.in_flight else ""


def _settled(
    state: ObjectState, held: Held, intent: Intent, reading: AddonReading
) -> tuple[ObjectState, Held, str]:
    """The state as it is true by now, and why EKS keeps us from giving back, "" where it does not."""
    here, gives_back = digest(reading.configuration), intent.after == digest(given_back(held.was))
    ended = reading.modified != intent.modified and not reading.in_flight
    if here == intent.after and gives_back:  # All is as before us: only our record is to go.
        return _standing(state, replace(held, set=reading.configuration, was=reading.configuration))
    if here != intent.before or here == intent.after:
        return state, held, ""
    if gives_back:
        return state, held, _not_given_back(reading) if ended else ""
    failed = ended and reading.status.endswith(_FAILED)
    if ended and not failed and reading.configuration == held.was:
        return state, held, ""  # It was set, and somebody set it back.
    before = replace(state, applies=state.applies[:-1])
    if failed and state.applies:
        before = replace(before, quarantines=(*before.quarantines, _failed(state, intent, reading)))
    return _standing(before, replace(held, set=reading.configuration))


def _standing(state: ObjectState, held: Held) -> tuple[ObjectState, Held, str]:
    return replace(state, leaves={LEAF: held}), held, ""


def _not_given_back(reading: AddonReading) -> str:
    return (
        f"waits: the former configuration was written, and is not there: {told(reading)}; write it yourself, it is in"
        f" the annotation {ADDON_ANNOTATION} of the Deployment, or set onRelease: Retain"
    )


def _failed(state: ObjectState, intent: Intent, reading: AddonReading) -> Quarantine:
    message = (
        f"EKS did not take the update: {told(reading)}; it is not repeated until the policy or the configuration"
        " changes"
    )
    rule = state.leaves[LEAF].rule
    return Quarantine(UPDATE_FAILED, message, state.applies[-1].at, intent.policies, rules=(rule,))


def told(reading: AddonReading) -> str:
    """The add-on's status and what EKS says of its health."""
    return "; ".join([f"the add-on is {reading.status}", *reading.issues])


def _addon(deployment: Deployment, reading: AddonReading, busy: str, held: Held | None = None) -> Addon:
    meta, here = deployment.metadata, reading.configuration
    ours = held is not None and held.set == here
    by_us = Claim(FIELD_MANAGER, "Apply", leaves=frozenset({LEAF}), state=True)
    by_others = Claim(_STRANGER, "UpdateAddon", time=reading.modified, leaves=frozenset({LEAF}))
    made = Meta(
        name=meta.name,
        namespace=meta.namespace,
        uid=uid_of(meta.uid),
        resource_version=meta.resource_version,
        generation=zlib.crc32("\0".join((reading.version, here)).encode()) or 1,
        deletion_timestamp=meta.deletion_timestamp,
    )
    claims = (by_us,) if ours else (by_others,) if here else ()
    return Addon(made, reading, busy, claims)


def _believed(deployment: Deployment, text: str | None) -> tuple[ObjectState, Intent | None, str]:
    if text is None:
        return ObjectState(), None, ""
    try:
        state, intent = remembered(text)
    except UnreadableStateError as error:
        return ObjectState(), None, f"The annotation {ADDON_ANNOTATION} is not believed: {error}."
    owners = {claim.manager for claim in deployment.claims if claim.addon_state}
    if state.uid != uid_of(deployment.metadata.uid) or owners - {FIELD_MANAGER}:
        why = f"The annotation {ADDON_ANNOTATION} is not believed: it was copied here, or an older one brought back."
        return ObjectState(), None, why
    return state, intent, ""
