"""The operator and the real Argo CD on the same objects, in each way to sync and to compare.

One operator and one Argo CD serve all cases side by side, each in a namespace with a repository of its own.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.argo_scenarios import (
    SCENARIOS,
    Scenario,
    a_deleted_policy_gives_back_what_git_says,
    a_failed_rollout_is_withdrawn_to_what_git_says,
    too_few_replicas_of_git_are_left_after_three_reverts,
    what_argo_cd_only_ignores_is_told_before_the_next_sync_takes_it,
    what_git_does_not_set_stands_and_is_given_back,
    what_git_sets_is_reported_and_never_written,
)
from tests.e2e.conftest import make_scene
from tests.e2e.gitops import MODES, Mode, Shop
from tests.lab import Lab
from tests.lab.argocd import ArgoCD

WORKERS = 8
FLAGS = (
    "--contest-window=600",
    "--contest-backoff=1200",
    "--max-rollouts=1000",
    # Two cores for so many shops, and nobody else wants to lead.
    "--lease-duration=30",
    "--request-timeout=20",
)

Loop = Callable[[Scenario, Mode], None]

CLIENT_SIDE = Mode(server_side_sync=False, server_side_diff=False)
SERVER_SIDE = Mode(server_side_sync=True, server_side_diff=True)
QUICK: tuple[tuple[Scenario, Mode], ...] = (
    (what_git_does_not_set_stands_and_is_given_back, CLIENT_SIDE),
    (what_git_does_not_set_stands_and_is_given_back, SERVER_SIDE),
    (too_few_replicas_of_git_are_left_after_three_reverts, CLIENT_SIDE),
    (a_failed_rollout_is_withdrawn_to_what_git_says, SERVER_SIDE),
    (a_deleted_policy_gives_back_what_git_says, CLIENT_SIDE),
    (what_argo_cd_only_ignores_is_told_before_the_next_sync_takes_it, SERVER_SIDE),
    (what_git_sets_is_reported_and_never_written, CLIENT_SIDE),
)
"""One of each kind, and the two modes that differ most; the rest is slow."""


def cases() -> list[Any]:
    """Every scenario in every mode, the slow ones last."""
    slow = [(scenario, mode) for scenario in SCENARIOS for mode in MODES if (scenario, mode) not in QUICK]
    return [
        *(pytest.param(*case, id=name_of(*case)) for case in QUICK),
        *(pytest.param(*case, id=name_of(*case), marks=pytest.mark.slow) for case in slow),
    ]


def name_of(scenario: Scenario, mode: Mode) -> str:
    """The id of a case."""
    return f"{scenario.__name__}-{mode}"


@pytest.fixture(scope="module")
def loop(
    lab: Lab,
    crd: None,
    argocd: ArgoCD,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Loop]:
    """One operator for all chosen cases, which begin at once; call it with one of them to see how it ends."""
    home = make_scene(lab, tmp_path_factory.mktemp("loop"))
    chosen = [item for item in request.session.items if "loop" in getattr(item, "fixturenames", ())]
    params: list[dict[str, Any]] = [
        item.callspec.params for item in chosen if isinstance(item, pytest.Function)
    ]

    def run(scenario: Scenario, mode: Mode) -> None:
        shop = Shop(argocd, home, mode)
        try:
            scenario(shop)
        except Exception as error:
            error.add_note(shop.story())
            raise
        finally:
            shop.close()

    with home.operator(*FLAGS), ThreadPoolExecutor(WORKERS) as pool:
        running = {
            (one["scenario"], one["mode"]): pool.submit(run, one["scenario"], one["mode"]) for one in params
        }

        def end(scenario: Scenario, mode: Mode) -> None:
            # A second try is a case of its own.
            future = running.pop((scenario, mode), None) or pool.submit(run, scenario, mode)
            future.result(timeout=280)

        yield end
        for future in running.values():
            future.cancel()


@pytest.mark.parametrize(("scenario", "mode"), cases())
def test_beside_argo_cd(loop: Loop, scenario: Scenario, mode: Mode) -> None:
    loop(scenario, mode)
