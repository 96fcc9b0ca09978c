from collections import Counter

import pytest

from mesh.model.routes import Backend, Mirror
from mesh.routing.http.choice import choose_backend, choose_mirrors


def drawn(*weights: int) -> Counter[str]:
    """Who gets how much when every number is drawn once."""
    backends = [Backend(service=f"b{n}", weight=weight) for n, weight in enumerate(weights)]
    found = Counter[str]()
    for number in range(max(sum(weights), 1)):
        backend = choose_backend(backends, lambda n, draw=number: draw % n)
        if backend is not None:
            found[backend.service] += 1
    return found


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((70, 30, 0), {"b0": 70, "b1": 30}),
        ((0, 1), {"b1": 1}),
        ((1,), {"b0": 1}),
        ((0, 0), {}),
        ((0,), {}),
        ((), {}),
        ((3, 2, 1), {"b0": 3, "b1": 2, "b2": 1}),
    ],
)
def test_backends_get_their_shares_and_zero_gets_nothing(
    weights: tuple[int, ...], shares: dict[str, int]
) -> None:
    assert drawn(*weights) == shares


def test_a_backend_that_cannot_be_used_keeps_its_share() -> None:
    broken = Backend(service="b", weight=1, problem="route_backend_unknown")
    assert choose_backend([broken], lambda _: 0) is broken


@pytest.mark.parametrize(
    ("numerator", "denominator", "copies"), [(20, 100, 20), (1, 2, 1), (0, 100, 0), (35, 100, 35)]
)
def test_a_mirror_gets_its_fraction(numerator: int, denominator: int, copies: int) -> None:
    mirror = Mirror(service="m", port=80, numerator=numerator, denominator=denominator)
    found = [choose_mirrors([mirror], lambda _, draw=n: draw) for n in range(denominator)]
    assert sum(map(len, found)) == copies


def test_each_mirror_has_a_draw_of_its_own() -> None:
    all_of_it = Mirror(service="a", port=80)
    half = Mirror(service="h", port=80, numerator=50)
    draws = iter([10, 90])
    chosen = choose_mirrors([all_of_it, half, half], lambda _: next(draws))
    assert chosen == [all_of_it, half]
