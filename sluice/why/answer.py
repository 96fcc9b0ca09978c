"""An answer: hops, and which of them decides."""

from dataclasses import dataclass, field
from enum import Enum

from mesh.model.fields import Json


class Verdict(Enum):
    """What becomes of all connections of this kind together."""

    PASSES = "passes"
    REFUSED = "refused"
    DEPENDS = "depends"
    """On which endpoint, backend or waypoint is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One decision on the way."""

    kind: str
    """capture, name, service, tunnel, plain, outside, waypoint, request, policy, route, filters,
    backend, inbound, arrival."""
    at: str
    """Who decides: a pod's node proxy, a waypoint, kube-proxy, DNS."""
    text: str
    allowed: bool = True
    code: str = ""
    """Stable; of a refusal always there (docs/reference/codes.md)."""
    status: int = 0
    """What a refused request is answered with; 0: the connection ends."""
    policy: str = ""
    rule: int | None = None
    """Of the policy or the route, counted from 0."""
    route: str = ""
    mend: str = ""
    origin: str = ""
    """The file that the deciding object is in, where that is known."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way that it can go."""

    share: float
    """Of all connections; the outcomes of an answer sum to 1."""
    hops: tuple[Hop, ...]
    unseen: str = ""
    """What the source of this answer does not tell; empty: all was looked at."""

    @property
    def refusal(self) -> Hop | None:
        """The one reason, when it is refused."""
        return next((hop for hop in self.hops if not hop.allowed), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What would happen."""

    source: str
    destination: str
    request: str = ""
    outcomes: tuple[Outcome, ...] = ()
    """The most likely first."""
    problems: tuple[str, ...] = field(default=())
    """Of the objects that were read: sentences."""

    @property
    def verdict(self) -> Verdict:
        """All of it in a word."""
        refused = {outcome.refusal is not None for outcome in self.outcomes}
        if len(refused) > 1:
            return Verdict.DEPENDS
        return Verdict.REFUSED if True in refused else Verdict.PASSES

    @property
    def reason(self) -> Hop | None:
        """The refusal that most connections meet."""
        found = (outcome.refusal for outcome in self.outcomes)
        return next((refusal for refusal in found if refusal is not None), None)


def answer_json(answer: Answer) -> Json:
    """The answer for programs; fields are only ever added."""
    reason = answer.reason
    return {
        "source": answer.source,
        "destination": answer.destination,
        "request": answer.request,
        "verdict": answer.verdict.value,
        "reason": None if reason is None else _hop_json(reason),
        "outcomes": [
            {
                "share": round(outcome.share, 4),
                "passes": outcome.refusal is None,
                "unseen": outcome.unseen,
                "hops": [_hop_json(hop) for hop in outcome.hops],
            }
            for outcome in answer.outcomes
        ],
        "problems": [*answer.problems],
    }


def _hop_json(hop: Hop) -> dict[str, Json]:
    return {
        "kind": hop.kind,
        "at": hop.at,
        "text": hop.text,
        "allowed": hop.allowed,
        "code": hop.code,
        "status": hop.status,
        "policy": hop.policy,
        "rule": hop.rule,
        "route": hop.route,
        "mend": hop.mend,
        "origin": hop.origin,
    }
