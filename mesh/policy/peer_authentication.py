"""On which ports of a workload plain text is refused (PeerAuthentication, as Istio merges them).

1. The one that selects the workload, else its namespace's, else the root namespace's; of several
   at one level the oldest. What says nothing inherits; without anything plain text is allowed.
2. Only one with a selector has ports, and a selector means nothing in the root namespace.
3. Two slips of Istio are mended: its ports count also where mode or namespace inherit STRICT, and
   DISABLE is PERMISSIVE everywhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject, ObjectKey

KIND: Final = "PeerAuthentication"


class Mode(Enum):
    """What a PeerAuthentication asks for; DISABLE means PERMISSIVE, as everywhere in ambient."""

    UNSET = "UNSET"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


_MODES: Final = {
    "": Mode.UNSET,
    "UNSET": Mode.UNSET,
    "PERMISSIVE": Mode.PERMISSIVE,
    "DISABLE": Mode.PERMISSIVE,
    "STRICT": Mode.STRICT,
}


@dataclass(frozen=True, slots=True)
class PeerAuthentication:
    """One object; without a selector it speaks for its namespace, or for all from the root's."""

    key: ObjectKey
    selector: Mapping[str, str]
    mode: Mode
    ports: Mapping[int, Mode]
    created: str

    @property
    def age(self) -> tuple[str, str]:
        """Sorts by age, the oldest first; without a time it is the youngest."""
        return self.created or "~", self.key.name


@dataclass(frozen=True, slots=True)
class Strictness:
    """Whether plain text is refused: on all ports but those that are excepted."""

    everywhere: bool = False
    exceptions: tuple[int, ...] = ()
    """Ascending."""

    def refuses(self, port: int) -> bool:
        """Whether plain text to this port is refused."""
        return (port in self.exceptions) != self.everywhere

    @property
    def is_any(self) -> bool:
        """Whether plain text is refused anywhere."""
        return self.everywhere or bool(self.exceptions)


# Reading.


def read(found: KubernetesObject) -> PeerAuthentication:
    """What an object asks for.

    Raises:
        FieldInvalidError: a wrong type, mode or port.
    """
    spec = found.at("spec")
    return PeerAuthentication(
        key=found.key,
        selector=spec.at("selector").strings("matchLabels"),
        mode=_mode(spec.at("mtls")),
        ports=_ports(spec.at("portLevelMtls")),
        created=found.created,
    )


def _mode(part: Part) -> Mode:
    text = part.text("mode")
    if text not in _MODES:
        mend = f"{text!r} is no mode: write STRICT, PERMISSIVE, DISABLE or UNSET"
        raise part.invalid("mode", mend)
    return _MODES[text]


def _ports(by_port: Part) -> dict[int, Mode]:
    ports: dict[int, Mode] = {}
    for text in by_port.body:
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
            raise by_port.invalid(text, "is no port: write a number from 1 to 65535")
        ports[int(text)] = _mode(by_port.at(text))
    return dict(sorted(ports.items()))


# Deciding.


def strictness_of(
    namespace: str,
    labels: Mapping[str, str],
    peers: Iterable[PeerAuthentication],
    root_namespace: str,
) -> Strictness:
    """What holds for a workload, of all PeerAuthentications that there are."""
    here: list[PeerAuthentication] = []
    root: list[PeerAuthentication] = []
    for peer in peers:
        if peer.key.namespace == root_namespace:
            root.append(peer)
        elif peer.key.namespace == namespace:
            here.append(peer)
    selecting = (peer for peer in here if peer.selector and peer.selector.items() <= labels.items())
    return strictness(oldest(selecting), inherited_mode(here, root))


def oldest(peers: Iterable[PeerAuthentication]) -> PeerAuthentication | None:
    """The one of several that counts."""
    return min(peers, key=lambda peer: peer.age, default=None)


def inherited_mode(here: Iterable[PeerAuthentication], root: Iterable[PeerAuthentication]) -> Mode:
    """What holds in a namespace where no selector says otherwise; never UNSET.

    Args:
        here: those of the namespace.
        root: those of the root namespace.
    """
    for level in (here, root):
        speaking = oldest(peer for peer in level if not peer.selector)
        if speaking is not None and speaking.mode is not Mode.UNSET:
            return speaking.mode
    return Mode.PERMISSIVE


def strictness(own: PeerAuthentication | None, inherited: Mode) -> Strictness:
    """What holds for the workloads of one with a selector, or (None) for those that none selects.

    Args:
        own: the oldest that selects the workload.
        inherited: what holds in its namespace.
    """
    if own is None:
        return Strictness(everywhere=inherited is Mode.STRICT)
    mode = inherited if own.mode is Mode.UNSET else own.mode
    strict = mode is Mode.STRICT
    exceptions = (
        port
        for port, asked in own.ports.items()
        if asked is not Mode.UNSET and (asked is Mode.STRICT) != strict
    )
    return Strictness(everywhere=strict, exceptions=tuple(exceptions))
