"""The hops of one walk, as they are found."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mesh.model.address import Ip
from mesh.model.identity import Identity
from mesh.routing.balance import Chance
from sluice.why.answer import Hop
from sluice.why.errors import QuestionRefusedError
from sluice.why.known import Known
from sluice.why.mends import mend_of


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, if there is one."""

    method: str = "GET"
    target: str = "/"
    fields: tuple[tuple[str, str], ...] = ()
    is_given: bool = True
    """False: assumed, because what is called speaks HTTP."""


NO_REQUEST: Final = Ask(is_given=False)


def ask_of(written: str, fields: Iterable[str]) -> Ask:
    """A request as it is typed.

    Args:
        written: `METHOD /PATH`, or the path alone; empty: none.
        fields: `NAME: VALUE` each.

    Raises:
        QuestionRefusedError: it is not written so.
    """
    pairs = []
    for field_ in fields:
        name, colon, value = field_.partition(":")
        if not (colon and name.strip()):
            raise QuestionRefusedError((f"{field_}: write a field as 'NAME: VALUE'",))
        pairs.append((name.strip(), value.strip()))
    match written.split():
        case []:
            return Ask(fields=tuple(pairs)) if pairs else NO_REQUEST
        case [method, target] if target.startswith("/"):
            return Ask(method.upper(), target, tuple(pairs))
        case [target] if target.startswith("/"):
            return Ask("GET", target, tuple(pairs))
        case _:
            raise QuestionRefusedError((f"{written}: write a request as 'GET /path'",))


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, as the one that takes it sees it."""

    ip: Ip
    identity: Identity | None = None
    """None in plain text."""


@dataclass(frozen=True, slots=True)
class By:
    """What has decided."""

    policy: str = ""
    rule: int | None = None
    route: str = ""
    mend: str = ""
    """Where there is a better one than the code's."""


NOBODY: Final = By()


@dataclass(slots=True)
class Steps:
    """One walk: ends with its first refusal, or with the application."""

    known: Known
    chance: Chance
    hops: list[Hop] = field(default_factory=list)
    unseen: str = ""

    def add(
        self, kind: str, at: str, text: str, *, code: str = "", policy: str = "", route: str = ""
    ) -> None:
        """A hop that lets it go on."""
        self.hops.append(Hop(kind=kind, at=at, text=text, code=code, policy=policy, route=route))

    def refuse(
        self, kind: str, at: str, text: str, *, code: str, status: int = 0, by: By | None = None
    ) -> None:
        """The end: `code` is stable, `status` what a request is answered with."""
        by = by or NOBODY
        self.hops.append(
            Hop(
                kind=kind,
                at=at,
                text=text,
                allowed=False,
                code=code,
                status=status,
                policy=by.policy,
                rule=by.rule,
                route=by.route,
                mend=by.mend or mend_of(code),
                origin=self.known.origin(by.policy) if by.policy else "",
            )
        )
