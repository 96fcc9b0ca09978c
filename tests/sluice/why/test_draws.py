"""Every draw is tried, and the shares make a whole."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.why.draws import Draws


def test_each_combination_comes_once() -> None:
    draws, found = Draws(), []
    while True:
        first = draws(2)
        found.append((first, draws(3) if first else 0))
        if not draws.advance():
            break

    assert found == [(0, 0), (1, 0), (1, 1), (1, 2)]


@given(st.lists(st.integers(1, 12), max_size=3))
def test_the_shares_make_a_whole(amounts: list[int]) -> None:
    draws, whole = Draws(), 0.0
    while True:
        assert all(0 <= draws(amount) < amount for amount in amounts)
        whole += draws.share
        if not draws.advance():
            break

    assert abs(whole - 1) < 1e-6


def test_of_very_many_values_some_are_tried_evenly() -> None:
    draws, found = Draws(), []
    while True:
        found.append(draws(1_000_000))
        if not draws.advance():
            break

    assert len(found) == 100
    assert found[-1] >= 980_000
