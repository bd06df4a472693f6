"""How people name an object: NAMESPACE/NAME of a Deployment, and its kind where it is another. Used by cli."""

from collections.abc import Iterable
from difflib import get_close_matches

from resilience_operator.core.errors import ConfigurationError
from resilience_operator.core.kinds import BUDGET, DEPLOYMENT, HPA, SCALERS
from resilience_operator.core.refs import Key

KINDS = {kind.kind.lower(): kind.kind for kind in (DEPLOYMENT, *SCALERS, BUDGET)}
SHORT = {
    "deploy": DEPLOYMENT.kind,
    "hpa": HPA.kind,
    "so": "ScaledObject",
    "cm": "ConfigMap",
    "pdb": BUDGET.kind,
}
"""What may be typed for a kind, as kubectl has it -> the kind."""


def named(kind: str, namespace: str, name: str) -> str:
    """An object in a sentence."""
    place = f"{namespace}/{name}" if namespace else name
    return place if kind == DEPLOYMENT.kind else f"{kind} {place}"


def close(word: str, known: Iterable[str]) -> str:
    """`; did you mean check?` where a word is nearly one that is known."""
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def key_named(text: str) -> Key:
    """The key of NAMESPACE/NAME or KIND/NAMESPACE/NAME. Raises ConfigurationError with what may be typed."""
    parts = text.split("/")
    kind = (KINDS | SHORT).get(parts[0].lower()) if len(parts) == 3 else DEPLOYMENT.kind
    if len(parts) not in (2, 3) or kind is None or not all(parts):
        kinds = ", ".join(sorted(KINDS.values()))
        raise ConfigurationError(
            f"{text!r} names no object: write NAMESPACE/NAME of a Deployment, or KIND/NAMESPACE/NAME ({kinds})"
        )
    namespace, name = parts[-2:]
    return (namespace, name) if kind == DEPLOYMENT.kind else (namespace, name, kind)
