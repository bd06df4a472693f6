"""Rule `webhook-reach`: no admission webhook can keep the control plane or the nodes from working. Pure.

Every webhook is judged as its owner has it, without what we hold on it, so that a demand stays while its cause does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from resilience_operator.cluster.objects.meta import MatchExpression, Selector
from resilience_operator.core.findings import Demand, Finding, Skipped, Verdict
from resilience_operator.core.paths import JSON, Path
from resilience_operator.core.state import Held
from resilience_operator.targets.webhooks.objects import IGNORE, Webhook
from resilience_operator.targets.webhooks.owners import left_alone
from resilience_operator.targets.webhooks.reach import NAME_LABEL, reach
from resilience_operator.targets.webhooks.requests import Request, protected, restart
from resilience_operator.targets.webhooks.settings import Step, WebhookReach
from resilience_operator.targets.webhooks.texts import WEBHOOK_REACH
from resilience_operator.targets.webhooks.view import Backend, Called, WebhookView

NOT_READ = "Service {} that it calls was not read"
MAY = "whether a protected request is sent depends on {}, which the files do not say"

NOTHING_VITAL = "no request that nodes or the control plane live on is blocked"
AT_A_URL = "of a URL nobody can tell when somebody answers there again"

TIMEOUT, SELECTOR, POLICY = "timeoutSeconds", "namespaceSelector", "failurePolicy"


def check(settings: WebhookReach, view: WebhookView) -> Verdict:
    """What the configuration's webhooks can block, and the smallest steps that end it."""
    if view.unread:
        return Verdict(skipped=(Skipped(WEBHOOK_REACH, view.ref, NOT_READ.format(view.unread[0])),))
    alone = left_alone(view.configuration.metadata)
    judged = [Judged(settings, view, one, alone) for one in view.configuration.webhooks if one.name]
    wakes = [at for one in judged for at in one.wakes() if at > view.now]
    return Verdict(
        findings=(*(finding for one in judged for finding in one.findings()), *_slow_chain(settings, view)),
        demands=tuple(demand for one in judged for demand in one.demands()),
        skipped=(*_unjudged(view), *(skip for one in judged for skip in one.skipped())),
        wake_at=min(wakes, default=None),
    )


@dataclass(frozen=True)
class Judged:
    """One webhook against the requests that must get through."""

    settings: WebhookReach
    view: WebhookView
    observed: Webhook
    alone: str
    """Why the configuration is never changed; "" where it may be."""

    def path(self, leaf: str) -> Path:
        """The path of one of the webhook's leaves."""
        return Path.parse(f"webhooks[name={self.observed.name}].{leaf}")

    @cached_property
    def owners(self) -> Webhook:
        """The webhook as its owner has it: what we hold is taken out."""
        changed: dict[str, JSON] = {}
        for leaf, field in (
            (TIMEOUT, "timeout_seconds"),
            (SELECTOR, "namespace_selector"),
            (POLICY, "failure_policy"),
        ):
            held = self._held(leaf)
            if held is not None:
                was = held.was or None
                changed[field] = msgspec.convert(was, Selector | None) if leaf == SELECTOR else was
        return msgspec.structs.replace(self.observed, **changed) if changed else self.observed

    @cached_property
    def backend(self) -> Backend:
        """What is known of its backend."""
        return self.view.backend(self.observed)

    @cached_property
    def narrowed(self) -> Webhook:
        """The owner's webhook with the protected namespaces taken out of its selector, where the policy has it done."""
        names = self._exempted() if self._allowed(Step.NAMESPACE_SELECTOR) else ()
        return (
            msgspec.structs.replace(self.owners, namespace_selector=_without(self.owners, names))
            if names
            else self.owners
        )

    @property
    def opened(self) -> bool:
        """True where we failed it open, and its owner has not changed that since."""
        return self._held(POLICY) is not None

    @cached_property
    def opens_at(self) -> datetime | None:
        """When it may be failed open; None where it is not to be: see the contract of FailOpenWhileDown."""
        since = self.backend.down_since if self.backend.down else self._kept_since
        if since is None or not self._allowed(Step.FAIL_OPEN_WHILE_DOWN):
            return None
        if self.observed.client_config.service is None or not self.owners.fails_closed:
            return None
        if not any(one.vital for one in self._sent(self.narrowed)):
            return None
        return since + self._patience

    @cached_property
    def _kept_since(self) -> datetime | None:
        """Since when it is open though its endpoints are said to be ready; None where it is not to stay so.

        They were said to be ready before as well, when it could not be called: whoever keeps them has time to write the
        truth, now that they can, for as long as was waited for it.
        """
        ready, applies = self.backend.ready_since, self.view.state.applies
        if not self.opened or ready is None or not applies or ready >= applies[-1].at:
            return None
        return applies[-1].at - self._patience if self.view.now < applies[-1].at + self._patience else None

    @property
    def _patience(self) -> timedelta:
        return timedelta(seconds=self.settings.down_after_seconds)

    def wakes(self) -> Iterator[datetime]:
        """When time alone changes the answer."""
        if self.opens_at is not None:
            yield self.opens_at
        if self.backend.refused_until is not None:
            yield self.backend.refused_until
        if self._kept_since is not None:
            yield self._kept_since + 2 * self._patience

    def demands(self) -> Iterator[Demand]:
        """The leaves that the policy wants, whether they are there already or not."""
        if (
            self.owners.seconds > self.settings.max_timeout_seconds
            and self._allowed(Step.TIMEOUT)
            and self._sent(self.owners)
        ):
            yield Demand(WEBHOOK_REACH, self.path(TIMEOUT), self.settings.max_timeout_seconds)
        if self.narrowed is not self.owners:
            yield Demand(WEBHOOK_REACH, self.path(SELECTOR), _as_json(self.narrowed.namespace_selector))
        if self.opens_at is not None and (self.opened or self.opens_at <= self.view.now):
            yield Demand(WEBHOOK_REACH, self.path(POLICY), IGNORE, temporary=True)

    def findings(self) -> Iterator[Finding]:
        """What the webhook, as it is now, does to requests that must get through; the worst first."""
        sent, own = self._sent(self.observed), self._sent(self.observed, self._restart())
        if self.opened:
            yield self._failed_open()
        elif self.observed.fails_closed and sent:
            yield self._down(sent) if self.backend.down else self._blocks(sent)
        elif self.observed.fails_closed and own:
            yield self._blocks_itself(own[0])
        elif self.observed.fails_closed and not self.view.in_files:
            yield from self._may_block()
        if self.observed.seconds > self.settings.max_timeout_seconds and (sent or own):
            yield self._too_long((sent or own)[0])

    def _down(self, sent: tuple[Request, ...]) -> Finding:
        silent = "has no ready endpoint" if self.backend.ready == 0 else "cannot be called"
        message = f"{sent[0]} {self._fails()} now: {self._where} {silent}{_others(sent)}"
        desired = IGNORE if self._allowed(Step.FAIL_OPEN_WHILE_DOWN) else None
        return self._finding("BackendDown", message, POLICY, desired)

    def _blocks(self, sent: tuple[Request, ...]) -> Finding:
        unsure = f" ({self.backend.why})" if self.backend.why else ""
        message = (
            f"{sent[0]} would {self._fail()} whenever {self._where} does not answer{unsure}{_others(sent)}"
        )
        names = self._exempted()
        desired = _as_json(_without(self.owners, names)) if names else None
        return self._finding("BlocksControlPlane", message, SELECTOR, desired)

    def _blocks_itself(self, request: Request) -> Finding:
        message = (
            f"{request} would {self._fail()} while {self._where} is down: it could not come back by itself"
        )
        return self._finding(
            "BlocksItself", message, SELECTOR, _as_json(_without(self.owners, self._exempted()))
        )

    def skipped(self) -> Iterator[Skipped]:
        """In files, where labels of the cluster decide: nobody could do anything about a finding."""
        doubt = self._doubt() if self.view.in_files and self.observed.fails_closed else None
        if doubt is not None and not self._sent(self.observed):
            yield Skipped(WEBHOOK_REACH, self.view.ref, MAY.format(doubt[1]))

    def _may_block(self) -> Iterator[Finding]:
        doubt = self._doubt()
        if doubt is not None:
            message = f"{doubt[0]} may {self._fail()} without {self._where}: it depends on {doubt[1]}"
            yield self._finding(
                "MayBlockControlPlane", message, POLICY, None, "whether it is sent cannot be told here"
            )

    def _doubt(self) -> tuple[Request, str] | None:
        """The first request that may be sent, and what that depends on."""
        answers = ((one, reach(self.observed, one, self.view.chain.namespaces)) for one in self._requests())
        return next(((one, found.because) for one, found in answers if found.sent is None), None)

    def _too_long(self, request: Request) -> Finding:
        most = self.settings.max_timeout_seconds
        message = (
            f"{request} waits up to {self.observed.seconds} s for {self._where}; the policy allows {most} s"
        )
        return self._finding("TimeoutTooLong", message, TIMEOUT, most)

    def _failed_open(self) -> Finding:
        message = (
            f"its failurePolicy is Ignore for as long as {self._where} "
            f"{'could not be called' if self.backend.ready else 'has no ready endpoint'}: what it protects is not "
            "protected now"
        )
        return self._finding(
            "FailedOpen", message, POLICY, None, "given back as soon as an endpoint is ready"
        )

    def _finding(self, reason: str, message: str, leaf: str, desired: JSON, only: str = "") -> Finding:
        needed = {
            TIMEOUT: Step.TIMEOUT,
            SELECTOR: Step.NAMESPACE_SELECTOR,
            POLICY: Step.FAIL_OPEN_WHILE_DOWN,
        }[leaf]
        if not only and not self.alone:
            only = _no_step(needed) if desired is None or needed not in self.settings.remediation else ""
        if not only and leaf == POLICY and self.opens_at is None and self.narrowed is self.owners:
            only = NOTHING_VITAL if self.observed.client_config.service is not None else AT_A_URL
        return Finding(
            rule=WEBHOOK_REACH,
            reason=reason,
            object=self.view.ref,
            message=f"webhook {self.observed.name}: {message}"[:300],
            observed=getattr(self.observed, _FIELDS[leaf])
            if leaf != SELECTOR
            else _as_json(self.observed.namespace_selector),
            desired=desired,
            path=self.path(leaf),
            report_only=self.alone or only,
            committable=False,  # which requests it has to see only its owner knows
        )

    @property
    def _where(self) -> str:
        service = self.observed.client_config.service
        return f"its backend Service {service}" if service is not None else "its URL"

    def _fail(self) -> str:
        return f"wait up to {self.observed.seconds} s and fail"

    def _fails(self) -> str:
        return f"waits up to {self.observed.seconds} s and fails"

    def _requests(self) -> tuple[Request, ...]:
        return protected(self.settings.protect_namespaces)

    def _restart(self) -> tuple[Request, ...]:
        service = self.observed.client_config.service
        own = service.namespace if service is not None else ""
        return restart(own) if own and own not in self.settings.protect_namespaces else ()

    def _sent(self, webhook: Webhook, requests: tuple[Request, ...] | None = None) -> tuple[Request, ...]:
        namespaces = self.view.chain.namespaces
        asked = self._requests() if requests is None else requests
        return tuple(one for one in asked if reach(webhook, one, namespaces).sent)

    def _exempted(self) -> tuple[str, ...]:
        """The namespaces to take out of the owner's selector: those in which it blocks something, while closed."""
        if not self.owners.fails_closed:
            return ()
        sent = (*self._sent(self.owners), *self._sent(self.owners, self._restart()))
        return tuple(dict.fromkeys(one.namespace for one in sent if one.namespace))

    def _allowed(self, step: Step) -> bool:
        return not self.alone and step in self.settings.remediation

    def _held(self, leaf: str) -> Held | None:
        """What we hold there, where it is as we set it."""
        path = self.path(leaf)
        held = self.view.held(str(path))
        return held if held is not None and path.read(self.view.configuration.tree) == held.set else None


_FIELDS = {TIMEOUT: "timeout_seconds", POLICY: "failure_policy"}


def _no_step(step: Step) -> str:
    return f"nothing in remediation would end it ({step} where that fits, else its owner has to narrow its rules)"


def _others(sent: tuple[Request, ...]) -> str:
    more = len(sent) - 1
    kinds = "kind" if more == 1 else "kinds"
    return f"; and {more} more {kinds} of requests of the control plane" if more else ""


def _without(webhook: Webhook, namespaces: tuple[str, ...]) -> Selector:
    """The webhook's namespaceSelector and one requirement more: what its owner demands of a Namespace stays."""
    before = webhook.namespace_selector or Selector()
    more = MatchExpression(NAME_LABEL, "NotIn", namespaces)
    return msgspec.structs.replace(before, match_expressions=(*before.match_expressions, more))


def _as_json(selector: Selector | None) -> JSON:
    """A LabelSelector in the API's form, only with what is set."""
    if selector is None:
        return {}
    body: dict[str, JSON] = {}
    if selector.match_labels:
        body["matchLabels"] = dict(selector.match_labels)
    if selector.match_expressions:
        body["matchExpressions"] = [_requirement(one) for one in selector.match_expressions]
    return body


def _requirement(one: MatchExpression) -> dict[str, JSON]:
    values = {"values": list(one.values)} if one.values else {}
    return {"key": one.key, "operator": one.operator, **values}


def _slow_chain(settings: WebhookReach, view: WebhookView) -> Iterator[Finding]:
    """The request whose webhooks together may keep it waiting for longer than its client waits."""
    mine = view.configuration.metadata.name
    for request in protected(settings.protect_namespaces):
        called = view.chain.of(request)
        seconds = longest_wait(called)
        if len(called) < 2 or seconds <= request.seconds:
            continue
        if not any(
            one.configuration == mine and one.mutating == view.configuration.mutating for one in called
        ):
            continue
        message = (
            f"{request} may wait up to {seconds} s for {len(called)} webhooks, those of this configuration among them; "
            f"its client gives up after {request.seconds} s"
        )
        only = "which of them can answer faster only their owners know"
        yield Finding(WEBHOOK_REACH, "TimeoutsAddUp", view.ref, message, report_only=only, committable=False)
        return


def longest_wait(called: tuple[Called, ...]) -> int:
    """Seconds: mutating webhooks are asked one after the other, some twice, validating ones all at once."""
    mutating = [one.webhook for one in called if one.mutating]
    rounds = sum(one.seconds * (2 if one.reinvocation_policy == "IfNeeded" else 1) for one in mutating)
    return rounds + max((one.webhook.seconds for one in called if not one.mutating), default=0)


def _unjudged(view: WebhookView) -> Iterator[Skipped]:
    more = view.configuration.unjudged
    if more:
        yield Skipped(WEBHOOK_REACH, view.ref, f"{more} more webhooks of the configuration are not looked at")
