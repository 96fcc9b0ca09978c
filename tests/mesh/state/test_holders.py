from mesh.state.holders import Holders


def rank(value: str) -> tuple[bool, bool]:
    return not value.startswith("best"), not value.startswith(("best", "good"))


def holders(*values: str) -> Holders[str, str]:
    made: Holders[str, str] = Holders(rank)
    for value in values:
        made.add("key", value)
    return made


def test_the_lowest_rank_holds_the_key_and_of_equals_the_first() -> None:
    held = holders("plain-1", "good", "plain-2", "best")
    assert held.best("key") == "best"
    assert held.all("key") == ("best", "good", "plain-1", "plain-2")


def test_when_the_best_goes_the_next_takes_over() -> None:
    held = holders("best", "good", "plain")
    held.remove("key", "best")
    assert held.best("key") == "good"
    held.remove("key", "plain")
    assert held.all("key") == ("good",)
    held.remove("key", "good")
    assert held.best("key") is None
    assert held.all("key") == ()
    assert len(held) == 0


def test_a_value_that_is_added_twice_holds_once() -> None:
    held = holders("one", "one", "two", "two", "one")
    assert held.all("key") == ("one", "two")
    held.remove("key", "one")
    held.remove("key", "one")
    assert held.all("key") == ("two",)


def test_removing_a_stranger_changes_nothing() -> None:
    held = holders("one")
    held.remove("key", "two")
    held.remove("other", "one")
    assert held.all("key") == ("one",)
    assert len(held) == 1
