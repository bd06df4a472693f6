"""The EKS add-on that CoreDNS is, as the AWS API shows it: read, updated, and whose cluster it is.

Called in a thread (asyncio.to_thread), since boto3 blocks: a request at worst for 50 s, three attempts of 15 s and the
pauses between them. boto3 is imported at the first call and not before: with the models of EKS and EC2 it takes 50 MiB,
which are never given back, and most clusters never ask AWS. No client is kept, so that new credentials count at once,
and any thread may call.

AWS has no precondition on an update. So `update` looks once more, and refuses where the configuration is not the one
on which was decided; what remains is a change by somebody else within the same moment.
"""

import importlib
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from resilience_operator.core.errors import RequestFailed

ADDON = "coredns"
ATTEMPTS = 3
CONNECT_TIMEOUT = 5
READ_TIMEOUT = 10

_IN_FLIGHT = frozenset({"CREATING", "UPDATING", "DELETING"})
_TOKENS = uuid.UUID("6f1d2c1e-9c0b-5a57-8d0e-2f3b8f0f4b7a")
_PROVIDER_ID = re.compile(
    r"aws:///(?P<region>[a-z]{2,}(?:-[a-z]+)+-[0-9]+)[a-z0-9-]*/(?P<instance>i-[0-9a-f]+)"
)
_ASKED = 20
"""Instances that are asked for at once: all nodes belong to one cluster, but some may be gone or without tags."""

_NAME_TAGS = ("aws:eks:cluster-name", "eks:cluster-name", "eks:eks-cluster-name")
"""By EKS on every node it starts, by EKS on managed node groups, by Karpenter."""

_OWNER_TAG = "kubernetes.io/cluster/"
_NO_IDENTITY = frozenset(
    {
        "CredentialRetrievalError",
        "LoginError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "NoRegionError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "SSOError",
        "TokenRetrievalError",
    }
)
"""Classes of botocore by name, since not every version has all."""


class AddonError(RequestFailed):
    """AWS gave no good answer: what was wanted, why it failed, and in parentheses what may be done about it."""

    hint: ClassVar[str] = ""

    def __init__(self, wanted: str, why: object, hint: str = "") -> None:
        super().__init__(f"cannot {wanted}: {why} ({hint or self.hint})")


class NoCredentials(AddonError):  # noqa: N818
    """Nothing here says who asks, or in which region; or AWS does not accept it."""

    hint = (
        "give this process an AWS identity and a region, as with EKS Pod Identity, or AWS_PROFILE and AWS_REGION;"
        " or type the command yourself"
    )


class Denied(AddonError):  # noqa: N818
    """AWS knows who asks, and does not allow it."""

    hint = (
        "allow eks:DescribeAddon, eks:UpdateAddon and ec2:DescribeInstances to this identity;"
        " or type the command yourself"
    )


class NotFound(AddonError):  # noqa: N818
    """There is no such cluster in this region, or its CoreDNS is no EKS add-on."""

    hint = (
        "check the name of the cluster and AWS_REGION; a CoreDNS that is no EKS add-on is not scaled by one"
    )


class Busy(AddonError):  # noqa: N818
    """The add-on is being changed by somebody else: another look later may find it ready."""

    hint = "nothing was changed; look again when that is over"


class Failed(AddonError):  # noqa: N818
    """All else: AWS refuses the values, is down, or cannot be reached."""

    hint = "correct what AWS names, and try again"


class Unanswered(Failed):
    """Nobody knows what AWS made of it."""

    hint = "AWS is down or out of reach: try again later, whether an update was accepted shows then"


_SERVER_ERROR = 500
_CLASSES: Mapping[str, type[AddonError]] = {
    "AccessDenied": Denied,
    "AccessDeniedException": Denied,
    "UnauthorizedOperation": Denied,
    "AuthFailure": NoCredentials,
    "ExpiredToken": NoCredentials,
    "ExpiredTokenException": NoCredentials,
    "IncompleteSignature": NoCredentials,
    "InvalidClientTokenId": NoCredentials,
    "InvalidIdentityToken": NoCredentials,
    "InvalidSignatureException": NoCredentials,
    "MissingAuthenticationTokenException": NoCredentials,
    "RequestExpired": NoCredentials,
    "SignatureDoesNotMatch": NoCredentials,
    "UnrecognizedClientException": NoCredentials,
    "ResourceNotFoundException": NotFound,
    "ResourceInUseException": Busy,
}


@dataclass(frozen=True, slots=True)
class Addon:
    """The add-on as it was seen. `configuration`: configurationValues as they were written, "" where there are none.

    `update_in_flight`: EKS refuses an update now. `modified`: when AWS last changed it, RFC 3339.
    """

    cluster: str
    name: str
    version: str
    status: str
    configuration: str = ""
    update_in_flight: bool = False
    health_issues: tuple[str, ...] = ()
    modified: str = ""


class Addons:
    """The AWS account behind the environment. `region`: "" for that of the nodes asked about, or the environment's."""

    def __init__(self, region: str = "") -> None:
        self._region = region

    def read(self, cluster: str) -> Addon:
        """The add-on coredns of the cluster. Raises AddonError."""
        with _translated(f"read the add-on {ADDON} of the EKS cluster {cluster}"):
            return _described(self._client("eks", self._region), cluster)

    def update(self, addon: Addon, configuration: str, before_send: Callable[[], None] = lambda: None) -> str:
        """Make this the add-on's configurationValues, all of them; the id of the update. Raises AddonError.

        `before_send` is called when all is ready to be sent, and what it raises is raised.

        A repeat with the same arguments is the same update for AWS, also where the first answer was lost. After
        another change of the add-on it is a new one, or what somebody set back could never be raised again.
        """
        wanted = f"update the add-on {addon.name} of the EKS cluster {addon.cluster}"
        with _translated(wanted):
            client = self._client("eks", self._region)
            if _described(client, addon.cluster).configuration not in (addon.configuration, configuration):
                raise Busy(wanted, "its configuration is no longer what it was when this was decided")
            before_send()
            identity = (addon.cluster, addon.name, addon.modified, configuration)
            answer = client.update_addon(
                clusterName=addon.cluster,
                addonName=addon.name,
                resolveConflicts="PRESERVE",
                configurationValues=configuration,
                clientRequestToken=str(uuid.uuid5(_TOKENS, "\0".join(identity))),
            )
            return str(answer["update"]["id"])

    def find_cluster(self, provider_ids: Sequence[str]) -> str:
        """The EKS cluster of the nodes with these spec.providerID, by the tags of their instances. Raises AddonError.

        "" where no instance says it, or two say different things. From then on the region of the nodes is asked.
        """
        nodes = [found for one in provider_ids if (found := _PROVIDER_ID.fullmatch(one))]
        if not nodes:
            return ""
        region = self._region or nodes[0]["region"]
        instances = [node["instance"] for node in nodes if node["region"] == nodes[0]["region"]]
        with _translated(f"find the EKS cluster of the nodes in {region}"):
            # A filter, since one id of an instance that is gone would fail the whole request.
            chosen = [{"Name": "instance-id", "Values": instances[:_ASKED]}]
            answer = self._client("ec2", region).describe_instances(Filters=chosen)
        self._region = region
        groups = [instance for one in answer["Reservations"] for instance in one["Instances"]]
        names = {name for instance in groups for name in _cluster_names(instance.get("Tags", ()))}
        return names.pop() if len(names) == 1 else ""

    def _client(self, service: str, region: str) -> Any:
        config = importlib.import_module("botocore.config").Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            user_agent_extra="resilience-operator",
        )
        # boto3 itself knows AWS_DEFAULT_REGION alone, every other SDK and EKS say AWS_REGION.
        known = region or os.environ.get("AWS_REGION") or None
        session = importlib.import_module("boto3.session").Session(region_name=known)
        return session.client(service, config=config)


def _described(client: Any, cluster: str) -> Addon:
    addon = client.describe_addon(clusterName=cluster, addonName=ADDON)["addon"]
    modified = addon.get("modifiedAt")
    return Addon(
        cluster=cluster,
        name=addon["addonName"],
        version=addon.get("addonVersion", ""),
        status=addon["status"],
        configuration=addon.get("configurationValues") or "",
        update_in_flight=addon["status"] in _IN_FLIGHT,
        health_issues=tuple(_issue(issue) for issue in addon.get("health", {}).get("issues", ())),
        modified=modified.isoformat() if modified is not None else "",
    )


def _issue(issue: Mapping[str, Any]) -> str:
    where = ", ".join(issue.get("resourceIds", ()))
    text = f"{issue.get('code', 'Unknown')}: {issue.get('message', '')}"
    return f"{text} ({where})" if where else text


def _cluster_names(tags: Sequence[Mapping[str, str]]) -> set[str]:
    values = {tag["Key"]: tag["Value"] for tag in tags}
    named = {values[key] for key in _NAME_TAGS if key in values}
    return named or {key.removeprefix(_OWNER_TAG) for key in values if key.startswith(_OWNER_TAG)}


@contextmanager
def _translated(wanted: str) -> Iterator[None]:
    try:
        importlib.import_module("boto3")
        errors = importlib.import_module("botocore.exceptions")
    except ImportError as error:
        hint = "install boto3 beside the operator, or type the command yourself"
        raise Failed(wanted, error, hint) from error
    try:
        yield
    except errors.ClientError as error:
        told = error.response.get("Error", {})
        code, why = told.get("Code", ""), f"{told.get('Code', '')}: {told.get('Message', '')}"
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= _SERVER_ERROR:
            raise Unanswered(wanted, why) from error
        raise _CLASSES.get(code, Failed)(wanted, why) from error
    except errors.BotoCoreError as error:
        if _NO_IDENTITY & {kind.__name__ for kind in type(error).__mro__}:
            raise NoCredentials(wanted, error) from error
        raise Unanswered(wanted, error) from error
