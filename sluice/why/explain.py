"""The whole answer: every way that a connection can go, told apart by how it ends."""

from typing import Final

from sluice.why.answer import Answer, Hop, Outcome
from sluice.why.draws import Draws
from sluice.why.known import Known
from sluice.why.node_proxy import walk
from sluice.why.parties import find_callee, find_caller
from sluice.why.steps import NO_REQUEST, Ask, Steps

MOST_WALKS: Final = 2000
"""Of a service with a great many endpoints and backends not every combination is tried."""

_Key = tuple[str, str, str, str]


def explain(known: Known, source: str, destination: str, ask: Ask = NO_REQUEST) -> Answer:
    """What would happen.

    Args:
        known: the mesh.
        source: who calls, as it is typed.
        destination: what is called, as it is typed.
        ask: the request.

    Raises:
        QuestionRefusedError: one of them is not there.
    """
    caller = find_caller(known.world, source)
    callee = find_callee(known.world, caller, destination, is_http=ask.is_given)
    draws = Draws()
    found: dict[_Key, Outcome] = {}
    for _ in range(MOST_WALKS):
        steps = Steps(known, draws)
        walk(steps, caller, callee, ask)
        outcome = Outcome(draws.share, tuple(steps.hops), steps.unseen)
        key = _key(outcome.refusal)
        held = found.get(key)
        if held is not None:
            outcome = Outcome(held.share + outcome.share, held.hops, held.unseen)
        found[key] = outcome
        if not draws.advance():
            break
    whole = sum(outcome.share for outcome in found.values())
    outcomes = [Outcome(each.share / whole, each.hops, each.unseen) for each in found.values()]
    outcomes.sort(key=lambda each: -each.share)
    port = "" if destination.endswith(f":{callee.port}") else f":{callee.port}"
    return Answer(
        source=source,
        destination=f"{destination}{port}",
        request=f"{ask.method} {ask.target}" if ask.is_given else "",
        outcomes=tuple(outcomes),
        problems=known.problems,
    )


def _key(refusal: Hop | None) -> _Key:
    if refusal is None:
        return ("", "", "", "")
    return (refusal.code, refusal.at, refusal.policy, refusal.route)
