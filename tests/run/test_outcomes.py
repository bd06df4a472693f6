"""After what was given back Argo CD is asked to look, once for each Application, and never where we may not."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from resilience_operator.api.write import Forbidden, Written
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.change import Verb
from resilience_operator.run.apply import Done, Report
from resilience_operator.run.decisions import Decided
from resilience_operator.run.memory import Memory
from resilience_operator.run.outcomes import NO_REFRESH, Aftermath


def application(name: str) -> ObjectRef:
    return ObjectRef("argoproj.io/v1alpha1", "Application", "argocd", name, f"uid-{name}")


def report(name: str, verb: Verb = Verb.WITHDRAW, done: Done = Done.DONE) -> Report:
    change: Any = SimpleNamespace(verb=verb, application=application(name) if name else None)
    return Report(change, done, datetime.now(UTC), "")


class Desk:
    """Notes what Argo CD is asked, and answers."""

    def __init__(self, *answers: Any) -> None:
        self.now, self.asked, self._answers = 0.0, [], list(answers)
        services: Any = SimpleNamespace(writer=self, monotonic=lambda: self.now)
        self.aftermath = Aftermath(services, Decided(), Memory(), timedelta(seconds=600))

    asked: list[str]

    async def annotate(self, kind: Any, ref: ObjectRef, annotations: dict[str, str]) -> Any:
        self.asked.append(f"{ref.name} {annotations}")
        return self._answers.pop(0)

    def show(self, *reports: Report) -> list[str]:
        asyncio.run(self.aftermath.show(reports))
        return self.asked


LOOK = {"argocd.argoproj.io/refresh": "normal"}
WRITTEN = Written(b"{}", "1")


def test_each_application_is_asked_once_for_all_that_was_given_back() -> None:
    others = [report(""), report("api", Verb.APPLY), report("worker", done=Done.AGAIN)]
    desk = Desk(WRITTEN, WRITTEN)
    assert desk.show(report("shop"), report("shop"), report("web"), *others) == [
        f"shop {LOOK}",
        f"web {LOOK}",
    ]


def test_where_we_may_not_nobody_is_asked_for_an_hour() -> None:
    desk = Desk(Forbidden("no right"), WRITTEN)
    desk.show(report("shop"))
    desk.now = NO_REFRESH - 1
    assert desk.show(report("shop")) == [f"shop {LOOK}"]
    desk.now = NO_REFRESH
    assert desk.show(report("shop")) == [f"shop {LOOK}"] * 2
