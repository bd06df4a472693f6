"""Gives back, one object after the other, what cli/held found; stops at the first that cannot be. Used by cli/revert.

Each object is read again before it is written: a person was asked, and others were waited for, since it was found.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from resilience_operator.api.write import Gone, Outcome, Stale, Writer, Written
from resilience_operator.cli.held import Step, held_by
from resilience_operator.cli.naming import named
from resilience_operator.cli.telling import Told
from resilience_operator.cluster.objects.workloads import Declared, Deployment, Target
from resilience_operator.cluster.ownership import adopters, committed
from resilience_operator.cluster.state import believe
from resilience_operator.core.errors import ApiError
from resilience_operator.core.kinds import BUDGET, DEPLOYMENT
from resilience_operator.core.paths import Path
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import Held
from resilience_operator.engine.holds import adopted
from resilience_operator.engine.optout import ALL, IGNORE
from resilience_operator.engine.patch import Op
from resilience_operator.engine.withdrawal import Withdrawal, withdraw
from resilience_operator.run.apply import forget, show
from resilience_operator.targets import KIND_BY_NAME, project_dict
from resilience_operator.targets.workloads.budgets import POLICY_LABEL
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView

COMPLETE_SECONDS = 600.0
HEARD_SECONDS = 2.0
"""After an opt-out: a running operator hears of it by another stream than of what is given back next."""
TRIES = 5
"""Of a write, where others (a status, mostly) are faster."""
NOT_FOUND = 404
NOTHING = Withdrawal((), (), ())


async def give_back(writer: Writer, steps: list[Step], told: Told) -> int:
    """Do every step, and say so; 0 done, 1 where one could not be or did not become complete."""
    for number, step in enumerate(steps, start=1):
        name = named(*step.ref.key)
        outcome, plan = await _retried(writer, step)
        if not isinstance(outcome, Written | Gone):
            print(f"{name}: not given back: {outcome}", file=sys.stderr)
            return 1
        for line in _told(step, outcome, plan):
            print(f"{name}: {line} ({number} of {len(steps)})")
        if isinstance(outcome, Written):
            await told.reverted(step, plan.given_back)
        restarted = any(Path.parse(text).in_template for text in plan.given_back)
        if restarted and not await _complete(writer, step.ref):
            print(f"{name} is not complete after {COMPLETE_SECONDS:g} s: stopped here", file=sys.stderr)
            return 1
        if step.opt_out and number < len(steps):
            await asyncio.sleep(HEARD_SECONDS)
    return 0


def _told(step: Step, outcome: Written | Gone, plan: Withdrawal) -> list[str]:
    """What became of an object, in sentences' ends."""
    if isinstance(outcome, Gone):
        return [f"nothing to give back: {outcome.message}"]
    said = ["removed"] if step.whole else []
    for path in plan.left_alone:
        who = step.kept.get(path)
        said.append(
            f"{path} stays: {who} scales it" if who else f"{path} is somebody else's by now: left alone"
        )
    said += [f"{', '.join(plan.given_back)} given back"] if plan.given_back else []
    return said + ([f"opted out of {', '.join(step.opt_out)}"] if step.opt_out else [])


async def _retried(writer: Writer, step: Step) -> tuple[Outcome, Withdrawal]:
    """One step, decided anew where the object changed meanwhile."""
    outcome: Outcome = Stale("not tried")
    plan = NOTHING
    for _ in range(TRIES):
        try:
            raw = await writer.read(KIND_BY_NAME[step.ref.kind], step.ref)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            return Gone(error.message), NOTHING
        if raw["metadata"]["uid"] != step.ref.uid:
            return Gone("another object bears its name"), NOTHING
        if step.whole:
            outcome = await _remove(writer, step, raw)
        else:
            outcome, plan = await _withdraw(writer, step, raw)
        if not isinstance(outcome, Stale):
            break
    return outcome, plan


async def _remove(writer: Writer, step: Step, raw: Mapping[str, Any]) -> Outcome:
    if raw["metadata"].get("labels", {}).get(POLICY_LABEL) not in step.uids:
        return Gone("it is another policy's by now")
    return await writer.delete(BUDGET, step.ref)


async def _withdraw(writer: Writer, step: Step, raw: dict[str, Any]) -> tuple[Outcome, Withdrawal]:
    kind = KIND_BY_NAME[step.ref.kind]
    found = project_dict(kind, raw)
    if not isinstance(found, Target):
        raise TypeError(f"{kind} has no leaves")
    state, _ = believe(found)
    held = held_by(state, step.uids, step.rules, step.gone)
    after = state.without(frozenset(held)) if held else state
    kept = [text for text, one in held.items() if text in step.kept or _stays(step, found, text, one)]
    plan = withdraw(raw, {text: one for text, one in held.items() if text not in kept}, after)
    plan = replace(plan, left_alone=(*plan.left_alone, *kept)) if held else Withdrawal(plan.ops[:1], (), ())
    ops = [*plan.ops, *opt_out_ops(raw, list(step.opt_out))]
    outcome = await writer.json_patch(kind, step.ref, ops)
    if isinstance(outcome, Written):
        await forget(writer, kind, step.ref)
    if isinstance(outcome, Written) and held and step.application is not None:
        await show(writer, step.application.ref)
    return outcome, plan


def _stays(step: Step, found: Target, text: str, held: Held) -> bool:
    """True where somebody else has made the value their own: taking it away would not give anything back."""
    now, application = datetime.now(UTC), step.application
    if adopters(found, Path.parse(text), application):
        return True
    if isinstance(found, Declared):
        return committed(found, Path.parse(text), held, application)
    if isinstance(found, Deployment):
        return adopted(DeploymentView(found, now, application=application), Path.parse(text), held)
    return adopted(ScalerView(found, now, application=application), Path.parse(text), held)


def opt_out_ops(raw: Mapping[str, Any], rules: list[str]) -> list[Op]:
    """Operations that opt an object out of `rules` as well; nothing that it is opted out of already is lost.

    A label where one rule is all (it survives `kubectl rollout undo`), else the annotation, which holds several.
    """
    label = (raw["metadata"].get("labels") or {}).get(IGNORE, "").strip()
    rules = [rule for rule in rules if label not in (rule, ALL)]
    if not rules:
        return []
    where = "labels" if len(rules) == 1 and not label else "annotations"
    present = raw["metadata"].get(where) or {}
    if not present:
        return [{"op": "add", "path": f"/metadata/{where}", "value": {IGNORE: ",".join(rules)}}]
    named = [part.strip() for part in present.get(IGNORE, "").split(",")] if where == "annotations" else []
    value = ",".join(dict.fromkeys([*filter(None, named), *rules]))
    return [{"op": "add", "path": f"/metadata/{where}/{IGNORE.replace('/', '~1')}", "value": value}]


async def _complete(writer: Writer, ref: ObjectRef) -> bool:
    end = time.monotonic() + COMPLETE_SECONDS
    while time.monotonic() < end:
        body = await writer.read(DEPLOYMENT, ref)
        status, replicas = body.get("status", {}), body["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        if status.get("observedGeneration", 0) >= body["metadata"]["generation"] and counts == [replicas] * 3:
            return True
        await asyncio.sleep(0.5)
    return False
