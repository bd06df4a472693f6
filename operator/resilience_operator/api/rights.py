"""Asks the API server what the operator's own user may do, so that it need not find out by being refused.

Used by `watch` before it lists a kind that the operator need not be allowed to read: a request that is refused over and
over is what audit logs are searched for. Every user may ask (ClusterRole system:basic-user), and nothing is stored.
"""

from typing import Any

import msgspec

from resilience_operator.api.session import Session
from resilience_operator.core.errors import ApiError
from resilience_operator.core.kinds import Kind

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
VERBS = ("list", "watch")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def demand_reading(session: Session, kind: Kind, namespace: str = "") -> None:
    """Raise the ApiError 403 that a list or a watch of `kind` would bring; "" stands for all namespaces.

    Raises RequestFailed where the question has no answer.
    """
    for verb in VERBS:
        attributes = {"verb": verb, "group": kind.group, "resource": kind.plural, "namespace": namespace}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        body = msgspec.json.encode({**review, "spec": {"resourceAttributes": attributes}})
        status = _decode(await session.request("POST", REVIEWS, body=body)).get("status", {})
        if status.get("allowed", False):
            continue
        if error := status.get("evaluationError", ""):
            raise ApiError(
                503, "ServiceUnavailable", f"whether {kind.plural} may be read is not known: {error}"
            )
        raise ApiError(403, "Forbidden", f"{kind.plural}.{kind.group}: no right to {verb} them")
