"""Chance at work: which backend gets a request, and which mirrors get a copy."""

from collections.abc import Iterable, Sequence

from mesh.model.routes import Backend, Mirror
from mesh.routing.balance import Chance, weighted


def choose_backend(backends: Sequence[Backend], chance: Chance) -> Backend | None:
    """Draw a backend by its weight: 0 is never drawn; None when there is none to draw.

    One that cannot be used is drawn like the others: that share of requests fails.
    """
    drawn = weighted([backend.weight for backend in backends], chance)
    return None if drawn is None else backends[drawn]


def choose_mirrors(mirrors: Iterable[Mirror], chance: Chance) -> list[Mirror]:
    """Those that get a copy of this request; each has a draw of its own."""
    return [
        mirror
        for mirror in mirrors
        if mirror.numerator >= mirror.denominator or chance(mirror.denominator) < mirror.numerator
    ]
