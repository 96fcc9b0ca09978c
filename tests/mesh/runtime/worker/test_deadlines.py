"""Deadlines of one length."""

from mesh.runtime.worker.deadlines import Deadlines


def test_who_waits_too_long_is_called_once_and_in_order() -> None:
    deadlines, late = Deadlines(10.0), list[str]()
    deadlines.add("first", 0.0, lambda: late.append("first"))
    deadlines.add("second", 5.0, lambda: late.append("second"))
    deadlines.expire(9.9)
    assert late == []
    deadlines.expire(10.0)
    assert late == ["first"]
    deadlines.expire(100.0)
    deadlines.expire(100.0)
    assert late == ["first", "second"]


def test_who_has_an_answer_is_not_called() -> None:
    deadlines, late = Deadlines(10.0), list[str]()
    deadlines.add("quick", 0.0, lambda: late.append("quick"))
    deadlines.discard("quick")
    deadlines.discard("quick")
    deadlines.expire(100.0)
    assert late == []
    assert len(deadlines) == 0


def test_being_late_may_take_others_along() -> None:
    deadlines, late = Deadlines(10.0), list[str]()
    deadlines.add("first", 0.0, lambda: deadlines.discard("second"))
    deadlines.add("second", 0.0, lambda: late.append("second"))
    deadlines.expire(100.0)
    assert late == []
