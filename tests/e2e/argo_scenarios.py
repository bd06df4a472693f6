"""What an operator and Argo CD do to one shop, as scenarios: each may run in every way to sync and to compare.

Run side by side by test_argo_loop. Values are awaited, our own applies are counted; Argo CD's syncs never are, for it
may sync once more whenever it likes.
"""

from collections.abc import Callable

from tests.e2e.gitops import OURS, REFRESH, RESPECT, Shop
from tests.e2e.process import pretty
from tests.e2e.scene import Body, settle
from tests.lab.argocd import MANAGER

REVERTS = 3
"""So often we write what is taken back, at most."""
RULES: Body = {"spread": {}, "dnsConfig": {}, "gracefulShutdown": {}}
OPTION = {"name": "single-request-reopen"}
NDOTS: Body = {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}
SETTINGS: Body = {"options": (RESPECT,), "ignore": (OURS,)}
LOOK = {REFRESH: "normal"}

Scenario = Callable[[Shop], None]


def what_git_does_not_set_stands_and_is_given_back(shop: Shop) -> None:
    """Git sets none of the fields: they stand through commits, and go with the policy."""
    shop.open(shop.web())
    shop.demand(deployments=RULES, onRelease="Revert")
    shop.compliant()
    written = ours(shop)
    assert written == {
        "spread": ["kubernetes.io/hostname", "topology.kubernetes.io/zone"],
        "options": [OPTION],
        "preStop": {"sleep": {"seconds": 15}},
        "grace": 45,
    }
    last = shop.web(replicas=3, image="shop/web:1.5")
    last["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "CURRENCY", "value": "EUR"}]
    for web, message in (
        (shop.web(image="shop/web:1.5"), "a new image"),
        (shop.web(image="shop/web:1.5", replicas=3), "one replica more"),
        (last, "a variable"),
    ):
        shop.commit(web, message)
        assert ours(shop) == written, message
    shop.argocd.refresh(shop.app, hard=True)
    shop.compliant()
    assert ours(shop) == written
    assert len(shop.applies()) == 1, "no commit of Git's takes anything that we would have to put back"
    shop.withdraw()
    assert shop.spec("web") == shop.as_git_says(last)
    assert shop.told_to_look() == [LOOK]
    shop.argocd.refresh(shop.app, hard=True)
    stands_in_peace(shop)
    nothing_was_worse(shop, least=2)


def too_few_replicas_of_git_are_left_after_three_reverts(shop: Shop) -> None:
    """Git sets fewer replicas than the floor, and puts them back each time."""
    shop.open(shop.web(replicas=1))
    shop.demand(conflicts="TakeOver", deployments={"replicas": {"min": 3}})
    contested(shop)
    assert shop.spec("web")["replicas"] == 1
    assert {spec["replicas"] for spec in shop.revisions()} == {1, 3}


def resolver_options_of_git_are_left_after_three_reverts(shop: Shop) -> None:
    """Git sets the resolver's options, an atomic list, and puts it back each time."""
    shop.open(shop.web(pod=NDOTS))
    shop.demand(conflicts="TakeOver", deployments={"dnsConfig": {}})
    contested(shop)
    shop.wait_rolled_out("web")
    assert shop.pod_spec("web")["dnsConfig"] == NDOTS["dnsConfig"]


def contested(shop: Shop) -> None:
    """We write a few times, name the Application, and leave it alone."""
    shop.wait(lambda: shop.condition("Contested", shop.app).get("status") == "True", "contested", 120)
    message = shop.condition("Contested", shop.app)["message"]
    assert f"Argo CD application {shop.app}" in message
    assert MANAGER in message
    shop.settle_synced()
    written = len(shop.applies())
    assert 1 <= written <= REVERTS
    assert shop.unsynced(), "here Argo CD does see what we write"
    settle(12)  # Two passes over everything, and longer than any pause of Argo CD up to here.
    assert len(shop.applies()) == written, "left alone"
    shop.settle_synced()


def what_git_sets_is_reported_and_never_written(shop: Shop) -> None:
    """Git sets both fields, and the policy reports: nothing is ever written."""
    shop.open(shop.web(replicas=1, pod=NDOTS))
    shop.demand(deployments={"replicas": {"min": 3}, "dnsConfig": {}})
    shop.wait(lambda: len(shop.findings(shop.app)) == 2, "both are found")
    found = {one["rule"]: (one["state"], one["message"]) for one in shop.findings(shop.app)}
    assert {state for state, _ in found.values()} == {"Contested"}, pretty(found)
    for _, message in found.values():
        assert f"Argo CD application {shop.app}" in message
        assert MANAGER in message
    assert shop.condition("Contested", shop.app)["status"] == "True"
    shop.commit(shop.web(replicas=1, pod=NDOTS, image="shop/web:1.5"), "a new image")
    settle(6)
    assert shop.applies() == []
    shop.settle_synced()


def what_argo_cd_respects_stands_through_a_commit(shop: Shop) -> None:
    """Argo CD is told to leave our fields alone, when it compares and when it syncs: what we took over stands."""
    shop.open(shop.web(pod=NDOTS), **SETTINGS)
    shop.demand(conflicts="TakeOver", deployments={"replicas": {"min": 4}, "dnsConfig": {}})
    shop.compliant()
    shop.commit(shop.web(pod=NDOTS, image="shop/web:1.5"), "a new image")
    settle(6)
    shop.compliant()
    assert shop.spec("web")["replicas"] == 4
    assert shop.pod_spec("web")["dnsConfig"]["options"] == [*NDOTS["dnsConfig"]["options"], OPTION]
    assert len(shop.applies()) <= 2, "one for the replicas, one for the rollout"
    shop.settle_synced()
    nothing_was_taken_back(shop)
    nothing_was_worse(shop, least=2)


def what_argo_cd_only_ignores_is_told_before_the_next_sync_takes_it(shop: Shop) -> None:
    """Argo CD ignores our fields when it compares, but not when it syncs: a finding, until the next commit."""
    shop.open(shop.web(), ignore=(OURS,))
    shop.demand(conflicts="TakeOver", deployments={"replicas": {"min": 4}})
    shop.wait(lambda: shop.spec("web")["replicas"] == 4, "the floor")
    shop.wait(lambda: not_respected(shop), "the setting is a finding")
    (finding,) = not_respected(shop)
    assert (finding["rule"], finding["state"]) == ("replicas", "ReportOnly")
    assert f"Argo CD application {shop.app}" in finding["message"]
    assert RESPECT in finding["message"]
    shop.wait_rolled_out("web")
    assert shop.spec("web")["replicas"] == 4, "it stands until there is something to sync"
    before = len(shop.revisions())
    shop.commit(shop.web(image="shop/web:1.5"), "a new image")
    assert 2 in {spec["replicas"] for spec in shop.revisions()[before:]}, "the sync took it"


def a_deleted_policy_gives_back_what_git_says(shop: Shop) -> None:
    """All that we took over and added is given back at once, and never falls to a default on its way."""
    git = shop.web(pod=NDOTS)
    shop.open(git, **SETTINGS)
    take_over(shop)
    given_back(shop, git)


def a_policy_deleted_after_a_commit_gives_back_what_git_says(shop: Shop) -> None:
    """The same where a sync has made our values Argo CD's own: it puts Git's back when it looks again."""
    shop.open(shop.web(pod=NDOTS), **SETTINGS)
    take_over(shop)
    git = shop.web(pod=NDOTS, image="shop/web:1.5")
    shop.commit(git, "a new image")
    shop.compliant()
    shop.settle_synced()
    nothing_was_taken_back(shop)
    given_back(shop, git)


def take_over(shop: Shop) -> None:
    """A policy for what Git sets and for what it does not set."""
    everything: Body = {**RULES, "replicas": {"min": 4}}
    shop.demand(conflicts="TakeOver", onRelease="Revert", deployments=everything)
    shop.compliant()
    shop.wait_rolled_out("web")


def given_back(shop: Shop, git: Body) -> None:
    """The policy is deleted, and what Git says stands."""
    shop.withdraw()
    assert shop.told_to_look() == [LOOK]
    shop.wait(lambda: shop.spec("web") == shop.as_git_says(git), "Git's spec is back")
    shop.settle_synced()
    assert shop.spec("web") == shop.as_git_says(git)
    nothing_was_worse(shop, least=2)


def a_failed_rollout_is_withdrawn_to_what_git_says(shop: Shop) -> None:
    """A rollout of ours fails and is withdrawn, while we hold the replicas: the template is Git's again."""
    git = shop.web(pod=NDOTS)
    shop.open(git, **SETTINGS)
    floor: Body = {"replicas": {"min": 4}}
    rollout = {"soakSeconds": 1, "progressDeadlineSeconds": 10}
    shop.demand(conflicts="TakeOver", rollout=rollout, deployments=floor)
    shop.compliant()
    shop.wait_rolled_out("web")
    shop.lab.break_new_pods(shop.namespace, "crash")
    shop.demand(conflicts="TakeOver", rollout=rollout, deployments={**floor, **RULES})
    shop.wait(lambda: "Quarantined" in shop.states(shop.app).values(), "quarantined")
    shop.lab.mend_new_pods(shop.namespace)
    assert shop.told_to_look() == [LOOK]
    assert shop.spec("web")["template"] == shop.as_git_says(git)["template"]
    assert shop.spec("web")["replicas"] == 4, "another rule's leaf stays"
    last = shop.web(pod=NDOTS, image="shop/web:1.5")
    shop.commit(last, "a new image")
    shop.settle_synced()
    assert shop.spec("web")["template"] == shop.as_git_says(last)["template"]
    assert shop.spec("web")["replicas"] == 4
    nothing_was_worse(shop, least=2)


def ours(shop: Shop) -> Body:
    """The fields that Git does not set, as they are."""
    pod = shop.pod_spec("web")
    return {
        "spread": [entry["topologyKey"] for entry in pod["topologySpreadConstraints"]],
        "options": pod["dnsConfig"]["options"],
        "preStop": pod["containers"][0]["lifecycle"]["preStop"],
        "grace": pod["terminationGracePeriodSeconds"],
    }


def not_respected(shop: Shop) -> list[Body]:
    """The findings about an Application that does not respect at a sync what it ignores."""
    return [one for one in shop.findings(shop.app) if one["reason"] == "OverrideNotRespected"]


def stands_in_peace(shop: Shop) -> None:
    """Synced now, and whenever nothing was committed."""
    shop.settle_synced()
    assert shop.unsynced() == [], "OutOfSync though nothing was committed"


def nothing_was_taken_back(shop: Shop) -> None:
    """From the revision on that has all that we set, no revision is without it."""
    history = [
        (spec["replicas"], OPTION in spec["template"]["spec"]["dnsConfig"]["options"])
        for spec in shop.revisions()
    ]
    assert (4, True) in history
    assert set(history[history.index((4, True)) :]) == {(4, True)}


def nothing_was_worse(shop: Shop, *, least: int) -> None:
    """No revision had fewer replicas than Git's and ours, and no write was refused for what it said."""
    assert min(spec["replicas"] for spec in shop.revisions()) >= least
    assert shop.refused() == []


SCENARIOS: tuple[Scenario, ...] = (
    what_git_does_not_set_stands_and_is_given_back,
    too_few_replicas_of_git_are_left_after_three_reverts,
    a_failed_rollout_is_withdrawn_to_what_git_says,
    a_deleted_policy_gives_back_what_git_says,
    a_policy_deleted_after_a_commit_gives_back_what_git_says,
    what_argo_cd_respects_stands_through_a_commit,
    what_argo_cd_only_ignores_is_told_before_the_next_sync_takes_it,
    what_git_sets_is_reported_and_never_written,
    resolver_options_of_git_are_left_after_three_reverts,
)
