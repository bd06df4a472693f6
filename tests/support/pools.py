"""The pools of shared values, as they are in a new process. Used by tests that measure what objects cost."""

import gc

from resilience_operator.cluster import interning


def emptied() -> None:
    """Forget what other tests left in them: beside 30,000 strangers nothing is found again."""
    for pool in (interning._values, interning._texts, interning._labels, interning._sets):
        pool._values.clear()
        pool.bytes = 0
    gc.collect()
