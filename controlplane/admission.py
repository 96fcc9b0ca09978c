"""Who may call, who may read the mesh, and who may have which certificate: decided, not done."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from controlplane.callers import (
    Caller,
    CallerClusterError,
    CallerGoneError,
    CallerKindError,
    CallerNodeError,
    CallerUntrustedError,
    ImpersonationAccountError,
    ImpersonationElsewhereError,
    ImpersonationInvalidError,
    ImpersonationTrustDomainError,
    ImpersonationUnboundError,
    TokenMissingError,
    WaypointAccountError,
    WaypointGatewayError,
    WaypointNodeError,
)
from controlplane.pods import Pod, Pods
from controlplane.tokens import check
from mesh.model.identity import Identity, IdentityInvalidError
from mesh.wire.discovery_server import ClientNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The rules of one control plane."""

    token_key: ec.EllipticCurvePublicKey
    trust_domain: str
    cluster_id: str
    trusted: frozenset[str]
    """`NAMESPACE/ACCOUNT` of the node proxies: they read the mesh, and ask for their pods."""

    def caller(self, metadata: Mapping[str, str], pods: Pods) -> Caller:
        """Who calls; a pod that its token is bound to lives.

        Raises:
            CallerRefusedError: one of its kinds.
        """
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenMissingError
        caller = check(self.token_key, token.strip())
        cluster = metadata.get("clusterid", self.cluster_id)
        if cluster != self.cluster_id:
            raise CallerClusterError(f"{caller} says {cluster[:100]!r}")
        if caller.pod:
            live_pod(caller, pods)
        return caller

    def reader(self, caller: Caller, pods: Pods) -> str:
        """Let a caller read the mesh.

        Args:
            caller: of `caller`.
            pods: that live now.

        Returns:
            `namespace/name` of a waypoint's Gateway; empty for a node proxy.

        Raises:
            CallerUntrustedError: it is neither a node proxy nor a pod of a waypoint.
            WaypointGatewayError: it says that it is one, of no Gateway of ours.
            WaypointAccountError: it says so, as another account than the Gateway's.
            CallerGoneError: its pod has gone meanwhile.
        """
        if caller.account in self.trusted:
            return ""
        gateway = live_pod(caller, pods).gateway if caller.pod else ""
        if not gateway:
            raise CallerUntrustedError(str(caller))
        waypoint = f"{caller.namespace}/{gateway}"
        account = pods.waypoints.get(waypoint)
        if account is None:
            raise WaypointGatewayError(f"{caller}: {waypoint}")
        if account != caller.service_account:
            raise WaypointAccountError(f"{caller}: {waypoint} runs as {account}")
        return waypoint

    def node(self, caller: Caller, node: ClientNode, waypoint: str = "") -> None:
        """Believe a node id.

        Args:
            caller: of `caller`.
            node: who it says that it is.
            waypoint: of `reader`.

        Raises:
            CallerNodeError: it is not of the caller's namespace.
            CallerKindError: it is a waypoint's and the caller is none, or the other way round.
            WaypointNodeError: it is another waypoint's.
        """
        said = f"{caller} says {node.id[:200]!r}"
        if node.namespace != caller.namespace:
            raise CallerNodeError(said)
        if bool(waypoint) != bool(node.waypoint):
            raise CallerKindError(said)
        if waypoint and (node.waypoint, node.pod) != (waypoint, caller.pod):
            raise WaypointNodeError(f"{said} of {node.gateway[:100]!r}")

    def identity(self, caller: Caller, wanted: str | None, pods: Pods) -> Identity:
        """The identity that a caller's certificate is to have.

        Args:
            caller: of `caller`.
            wanted: the identity that it asks for; None: its own.
            pods: that live now.

        Raises:
            ImpersonationRefusedError: one of its kinds.
            CallerGoneError: its pod has gone meanwhile.
        """
        if wanted is None:
            return caller.identity(self.trust_domain)
        try:
            identity = Identity.parse(wanted)
        except IdentityInvalidError:
            raise ImpersonationInvalidError(f"{caller} asked for {wanted[:200]!r}") from None
        detail = f"{caller} asked for {identity}"
        if identity.trust_domain != self.trust_domain:
            raise ImpersonationTrustDomainError(detail)
        if caller.account not in self.trusted:
            raise ImpersonationAccountError(detail)
        if not caller.pod:
            raise ImpersonationUnboundError(detail)
        node = live_pod(caller, pods).node
        if not pods.runs_on(node, identity.namespace, identity.service_account):
            raise ImpersonationElsewhereError(f"{detail} on {node or 'no node'}")
        return identity


def live_pod(caller: Caller, pods: Pods) -> Pod:
    """The pod that a caller's token is bound to: of its name, its uid and its account.

    Raises:
        CallerGoneError: there is none.
    """
    pod = pods.get(caller.namespace, caller.pod)
    if pod is None:
        raise CallerGoneError(f"{caller}: no live pod of this name")
    if pod.uid != caller.pod_uid:
        raise CallerGoneError(f"{caller}: the pod of this name has another uid")
    if pod.service_account != caller.service_account:
        raise CallerGoneError(f"{caller}: the pod runs as {pod.service_account}")
    return pod
