"""An answer for people: one line for each hop, the deciding one marked."""

from collections.abc import Iterator

from sluice.why.answer import Answer, Hop, Outcome

WHOLE = 0.9999


def printed(answer: Answer) -> str:
    """The lines."""
    return "".join(f"{line}\n" for line in _lines(answer))


def _lines(answer: Answer) -> Iterator[str]:
    asked = f" {answer.request}" if answer.request else ""
    yield f"{answer.source} -> {answer.destination}{asked}: {answer.verdict.value}"
    for outcome in answer.outcomes:
        if outcome.share < WHOLE:
            word = "passes" if outcome.refusal is None else "refused"
            yield f"{word}, {outcome.share:.0%} of connections:"
        yield from _outcome(outcome)


def _outcome(outcome: Outcome) -> Iterator[str]:
    for hop in outcome.hops:
        mark = " " if hop.allowed else "x"
        yield f"{mark} {hop.kind:<9} {hop.at}: {hop.text}{_code(hop)}"
    refusal = outcome.refusal
    if refusal is not None and refusal.origin:
        yield f"            in {refusal.origin}"
    if refusal is not None and refusal.mend:
        yield f"            mend: {refusal.mend}"
    if outcome.unseen:
        yield f"            not looked at: {outcome.unseen}"


def _code(hop: Hop) -> str:
    return f" [{hop.code}]" if hop.code and not hop.allowed else ""
