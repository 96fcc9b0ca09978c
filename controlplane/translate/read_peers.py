"""PeerAuthentications, each by itself, and the policies that they become."""

from collections.abc import Mapping
from typing import Final

from controlplane.translate.facts import Mode, PeerFacts
from controlplane.translate.settings import Settings
from mesh.model.fields import Part
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

STATIC_STRICT: Final = "istio_converted_static_strict"
"""The one policy that every workload without exceptions names when STRICT applies."""

_MODES: Final = {
    "": Mode.UNSET,
    "UNSET": Mode.UNSET,
    "PERMISSIVE": Mode.PERMISSIVE,
    "DISABLE": Mode.PERMISSIVE,
    "STRICT": Mode.STRICT,
}
_WITHOUT_IDENTITY: Final = (StringMatch(StringMatchKind.PRESENCE),)
_PLAIN_TEXT: Final[Clause] = (Match(not_principals=_WITHOUT_IDENTITY),)


def read_peer(found: KubernetesObject, settings: Settings) -> PeerFacts:
    """A PeerAuthentication.

    Raises:
        FieldInvalidError: a wrong type, mode or port.
    """
    spec = found.at("spec")
    selector = spec.at("selector").strings("matchLabels")
    ports = _ports(spec)
    problems = []
    if ports and not selector:
        mend = "ports need a selector.matchLabels: add one, or they mean nothing"
        problems.append(f"spec.portLevelMtls: {mend}")
    if selector and found.key.namespace == settings.root_namespace:
        mend = "means nothing in the root namespace: move it to the workloads' namespace"
        problems.append(f"spec.selector: {mend}")
    mode = _mode(spec.at("mtls"))
    return PeerFacts(found.key, selector, mode, ports, found.created, tuple(problems))


def _mode(part: Part) -> Mode:
    text = part.text("mode")
    if text not in _MODES:
        mend = f"{text!r} is no mode: write STRICT, PERMISSIVE, DISABLE or UNSET"
        raise part.invalid("mode", mend)
    return _MODES[text]


def _ports(spec: Part) -> dict[int, Mode]:
    by_port = spec.at("portLevelMtls")
    ports: dict[int, Mode] = {}
    for text in by_port.body:
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
            raise by_port.invalid(text, "is no port: write a number from 1 to 65535")
        ports[int(text)] = _mode(by_port.at(text))
    return dict(sorted(ports.items()))


def strict_policy(settings: Settings) -> Authorization:
    """The static policy: no connection without an identity."""
    return _denial(settings.root_namespace, STATIC_STRICT, ((_PLAIN_TEXT,),))


def is_strict(peer: PeerFacts, parent: Mode) -> bool:
    """Whether STRICT holds for a peer's workloads on ports without an exception."""
    return (parent if peer.mode is Mode.UNSET else peer.mode) is Mode.STRICT


def policy_of(peer: PeerFacts, parent: Mode) -> Authorization | None:
    """The policy for the workloads that a peer selects, None when it has no exception by port.

    Args:
        peer: one with a selector.
        parent: what holds in its namespace without it.
    """
    exceptions = _exceptions(peer.ports, strict=is_strict(peer, parent))
    if not exceptions:
        return None
    rules: tuple[Rule, ...]
    if is_strict(peer, parent):
        # One rule: without an identity, and on none of the exempted ports. The order of the
        # clauses, and the last one twice, is Istio's.
        own = (_PLAIN_TEXT,) if peer.mode is Mode.STRICT else ()
        inherited = (_PLAIN_TEXT,) if parent is Mode.STRICT else ()
        loose = tuple((Match(not_destination_ports=(port,)),) for port in exceptions)
        rules = ((*own, *loose, *inherited),)
    else:
        rules = tuple(
            ((Match(not_principals=_WITHOUT_IDENTITY, destination_ports=(port,)),),)
            for port in exceptions
        )
    return _denial(peer.key.namespace, f"converted_peer_authentication_{peer.key.name}", rules)


def _exceptions(ports: Mapping[int, Mode], *, strict: bool) -> list[int]:
    return [
        port
        for port, mode in ports.items()
        if mode is not Mode.UNSET and (mode is Mode.STRICT) != strict
    ]


def _denial(namespace: str, name: str, rules: tuple[Rule, ...]) -> Authorization:
    return Authorization(
        name=name,
        namespace=namespace,
        scope=PolicyScope.WORKLOAD_SELECTOR,
        action=Action.DENY,
        rules=rules,
    )
