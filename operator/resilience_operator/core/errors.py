"""The errors of the operator: each message says in a sentence what happened and what may be done about it.

Raised by adapters; told apart by reconcile (try again, or tell the user) and printed by the programs.
"""

from dataclasses import dataclass


class OperatorError(Exception):
    """Base of all errors that the operator raises on purpose; its text is meant for a person."""


class ConfigurationError(OperatorError):
    """The operator cannot start as it was configured: kubeconfig, context, or service account."""


class UnreadableObjectError(OperatorError):
    """An object, list or event is not what the API promises; or the API server would refuse a file."""


class RequestFailed(OperatorError):  # noqa: N818  - an outcome, not a fault of the program
    """A request without a good answer. `retry_after`: seconds that the server asked to wait, or None."""

    retry_after: float | None = None


class Unreachable(RequestFailed):
    """No complete answer: refused, reset, timed out or cut off. A write may have been committed."""


class TooMuch(RequestFailed):
    """An answer of more bytes than there is room for: less is to be asked for at once."""


class NotLeader(OperatorError):  # noqa: N818
    """A write was refused before it was sent: this replica does not hold the Lease (any more)."""


class Silent(Unreachable):
    """A connection that stands, and on which nothing came for longer than is normal: half-open, or a dead server."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of Status.details.causes: machine-readable reason, path of the field, message for people."""

    reason: str
    field: str
    message: str


class ApiError(RequestFailed):
    """The API server answered with an error: nothing was committed; a 5xx leaves that open.

    `status` is the HTTP code, `reason` the Status' CamelCase reason ("" where the answer was not a Status).
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        causes: tuple[Cause, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        shown = f"{status} {reason}".rstrip()
        super().__init__(f"the API server answered {shown}: {message}{_hint(status)}")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retry_after = retry_after


_HINTS = {
    401: "the credentials are not accepted (any more): renew the token or the kubeconfig",
    403: "grant the right to this user, or choose another context",
}


def _hint(status: int) -> str:
    return f" ({_HINTS[status]})" if status in _HINTS else ""
