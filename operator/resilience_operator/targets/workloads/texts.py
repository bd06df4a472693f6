"""What people read about rules that are asked of Deployments and of cluster DNS alike. Used by both targets' texts."""

from typing import Final

SPREAD: Final = "spread"
REPLICAS: Final = "replicas"
DISRUPTION_BUDGET: Final = "disruption-budget"

HELD_VALUE_DIFFERS: Final = "HeldValueDiffers"
HELD: Final = "A value that the operator wrote earlier is no longer the one that the policy demands."

NEVER_ENFORCED: Final = (
    "strategy Recreate: a rollout stops all replicas before new ones start",
    "an effective maxUnavailable of all replicas",
    "a ReadWriteOnce or ReadWriteOncePod volume, or a claim that cannot be read",
    "hostPort or hostNetwork with as many replicas as nodes, or more",
    (
        "no place for a new pod beside all old ones (required podAntiAffinity with as many replicas as nodes; a "
        "DoNotSchedule constraint that counts a node which takes no pod), where maxUnavailable lets none go first"
    ),
    "a controller in ownerReferences: it would revert the change",
)
"""Why a Deployment is reported and never changed, whatever the rule (workloads/eligibility)."""

NEVER_SCALED = (
    "strategy Recreate, or a ReadWriteOnce or ReadWriteOncePod volume",
    "a controller in ownerReferences: it would revert the change",
)
FLOOR_REASONS = {
    "TooFewReplicas": "Fewer replicas than the floor; the message says who scales them, if anybody does.",
    "FloorTooLow": "What scales the Deployment may go below the floor.",
    "FloorNotHeld": (
        "The parameters of the cluster-proportional-autoscaler say the floor, but cordoned nodes or one node that "
        "holds all replicas still take it away."
    ),
    "MaximumBelowFloor": "The scaler's own maximum is below the floor. It is never raised; the message has the patch.",
    "SeveralScalers": "Two scalers pull at one Deployment. Nothing is written until one of them is gone.",
    "UnreadableParameters": (
        "The parameters of the cluster-proportional-autoscaler are no JSON, not under exactly one of the keys linear "
        "and ladder, of another type than it takes, or leave open what counts; the message says what is wrong. It "
        "refuses most of these, and does not scale."
    ),
    "StrayScaler": (
        "A Deployment of another namespace has the command line of an autoscaler of this one. It is not believed, and"
        " the floor is written nevertheless."
    ),
    HELD_VALUE_DIFFERS: HELD,
}
BUDGET_REASONS = {
    "NoBudget": "No PodDisruptionBudget selects the pods of two or more replicas.",
    "BudgetDiffers": (
        "The budget that the operator made is not as the policy demands. A limit, a selector or an eviction policy "
        "that somebody set stays under conflicts: Report (Contested, with who set it), and is put back under TakeOver."
    ),
    "OverlappingBudgets": (
        "Two budgets select the same pods, which makes every eviction of them fail. One of the operator's own goes at "
        "once under Enforce; in Audit, while suspended or paused, and without the right, delete it as the message says."
    ),
    "BudgetAllowsNone": (
        "A budget lets no pod go while all are well: every drain of their nodes blocks. Its limit leaves none of the "
        "Deployment's pods at the least number that its scaler keeps; or it selects pods of a Job, a DaemonSet or "
        "another controller without a scale (finished ones as well), which the disruption controller cannot count: "
        "give those pods a label of their own, and the selector another. Where it may select pods of others as well, "
        "or how far down a scaler goes is not known, the rule is skipped."
    ),
}
SPREAD_REASONS = {
    "MissingConstraint": "topologySpreadConstraints has no entry for a demanded topology key.",
    "WeakerConstraint": (
        "The owner's entry for the key allows more than the policy. It is never doubled: the finding "
        "is Contested unless the policy says conflicts: TakeOver and the entry has the same "
        "whenUnsatisfiable."
    ),
    "ReplicasShareNode": (
        "Ready replicas of the newest template sit closer together than maxSkew allows while no "
        "rollout runs. Where the spec is already right it is reported only: no restart for it."
    ),
    HELD_VALUE_DIFFERS: HELD,
}
