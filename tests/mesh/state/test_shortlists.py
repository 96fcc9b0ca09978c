import pytest

from mesh.state.shortlists import MAX_ENTRIES, Shortlist, Shortlists
from tests.mesh.worlds import pod

A, B, C = (pod(name) for name in "abc")
HEAVY = pod("h", capacity=3)
EMPTY = pod("e", capacity=0)


def test_every_place_is_drawn_by_its_share() -> None:
    even = Shortlist.of([(A, 1), (B, 2), (C, 3)])
    assert [even.draw(lambda _n, d=draw: d) for draw in range(3)] == [(A, 1), (B, 2), (C, 3)]
    uneven = Shortlist.of([(EMPTY, 0), (A, 1), (HEAVY, 2), (EMPTY, 0), (B, 3)])
    names = []
    for draw in range(uneven.total):
        drawn = uneven.draw(lambda _n, d=draw: d)
        assert drawn is not None
        names.append(drawn[0].name)
    assert names == ["a", "h", "h", "h", "b"]


@pytest.mark.parametrize("endpoints", [[], [(EMPTY, 1)]])
def test_of_nobody_nobody_is_drawn(endpoints: list[tuple[object, int]]) -> None:
    assert Shortlist.of(endpoints).draw(lambda _n: 0) is None


def test_an_answer_is_kept_until_the_service_changes() -> None:
    lists = Shortlists()
    answer = Shortlist.of([(A, 1)])
    assert lists.get("shop/web", 80) is None
    lists.put("shop/web", 80, answer)
    assert lists.get("shop/web", 80) is answer
    assert lists.get("shop/web", 81) is None
    lists.forget(["shop/other"])
    assert lists.get("shop/web", 80) is answer
    lists.forget(["shop/web"])
    assert lists.get("shop/web", 80) is None


def test_the_memory_is_bounded() -> None:
    lists = Shortlists()
    large = Shortlist.of([(A, port) for port in range(MAX_ENTRIES // 2)])
    for number in range(5):
        lists.put(f"shop/{number}", 80, large)
        assert sum(lists.get(f"shop/{n}", 80) is not None for n in range(5)) <= 1
