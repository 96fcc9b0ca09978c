"""PeerAuthentications, each by itself, and the policies that they become."""

from typing import Final

from controlplane.translate.facts import PeerFacts
from controlplane.translate.settings import Settings
from mesh.model.kubernetes import KubernetesObject
from mesh.model.policy import (
    Action,
    Authorization,
    Clause,
    Match,
    PolicyScope,
    Rule,
    StringMatch,
    StringMatchKind,
)
from mesh.policy.peer_authentication import Mode, PeerAuthentication, read, strictness

STATIC_STRICT: Final = "istio_converted_static_strict"
"""The one policy that every workload without exceptions names when STRICT applies."""

_WITHOUT_IDENTITY: Final = (StringMatch(StringMatchKind.PRESENCE),)
_PLAIN_TEXT: Final[Clause] = (Match(not_principals=_WITHOUT_IDENTITY),)


def read_peer(found: KubernetesObject, settings: Settings) -> PeerFacts:
    """A PeerAuthentication.

    Raises:
        FieldInvalidError: a wrong type, mode or port.
    """
    peer = read(found)
    problems = []
    if peer.ports and not peer.selector:
        mend = "ports need a selector.matchLabels: add one, or they mean nothing"
        problems.append(f"spec.portLevelMtls: {mend}")
    if peer.selector and peer.key.namespace == settings.root_namespace:
        mend = "means nothing in the root namespace: move it to the workloads' namespace"
        problems.append(f"spec.selector: {mend}")
    return PeerFacts(peer.key, peer, tuple(problems))


def strict_policy(settings: Settings) -> Authorization:
    """The static policy: no connection without an identity."""
    return _denial(settings.root_namespace, STATIC_STRICT, ((_PLAIN_TEXT,),))


def policy_of(peer: PeerAuthentication, inherited: Mode) -> Authorization | None:
    """The policy for the workloads that a peer selects, None when it has no exception by port.

    Args:
        peer: one with a selector.
        inherited: what holds in its namespace without it.
    """
    held = strictness(peer, inherited)
    if not held.exceptions:
        return None
    rules: tuple[Rule, ...]
    if held.everywhere:
        # One rule: without an identity, and on none of the exempted ports. The order of the
        # clauses, and the last one twice, is Istio's.
        own = (_PLAIN_TEXT,) if peer.mode is Mode.STRICT else ()
        above = (_PLAIN_TEXT,) if inherited is Mode.STRICT else ()
        loose = tuple((Match(not_destination_ports=(port,)),) for port in held.exceptions)
        rules = ((*own, *loose, *above),)
    else:
        rules = tuple(
            ((Match(not_principals=_WITHOUT_IDENTITY, destination_ports=(port,)),),)
            for port in held.exceptions
        )
    return _denial(peer.key.namespace, f"converted_peer_authentication_{peer.key.name}", rules)


def _denial(namespace: str, name: str, rules: tuple[Rule, ...]) -> Authorization:
    return Authorization(
        name=name,
        namespace=namespace,
        scope=PolicyScope.WORKLOAD_SELECTOR,
        action=Action.DENY,
        rules=rules,
    )
