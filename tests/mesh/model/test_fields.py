from collections.abc import Callable

import pytest

from mesh.model.fields import FieldInvalidError, Json, Part


def part(body: dict[str, Json]) -> Part:
    return Part("Pod shop/front", "spec", body)


def test_absent_and_null_are_the_default() -> None:
    for body in ({}, {"x": None}):
        found = part(body)  # type: ignore[arg-type]
        assert not found.has("x")
        assert (found.text("x", "a"), found.number("x", 7)) == ("a", 7)
        assert found.flag("x", default=True)
        assert (found.at("x", "y").body, found.parts("x"), found.texts("x")) == ({}, [], [])
        assert found.strings("x") == {}


def test_values_of_the_right_type_come_out() -> None:
    found = part(
        {"t": "a", "n": 7, "f": True, "m": {"k": {"deep": "v"}}, "l": [{"a": "b"}], "s": ["x"]}
    )

    assert (found.text("t"), found.number("n"), found.flag("f")) == ("a", 7, True)
    assert found.at("m", "k").text("deep") == "v"
    assert [one.text("a") for one in found.parts("l")] == ["b"]
    assert found.texts("s") == ["x"]
    assert found.at("m").strings("k") == {"deep": "v"}


@pytest.mark.parametrize(
    ("ask", "value", "sentence"),
    [
        (lambda p: p.text("x"), 1, "spec.x: must be a string, is the number 1: put it in quotes"),
        (lambda p: p.text("x"), False, "spec.x: must be a string, is false"),
        (lambda p: p.number("x"), "1", "spec.x: must be a whole number, is the string '1'"),
        (lambda p: p.number("x"), True, "spec.x: must be a whole number, is true"),
        (lambda p: p.number("x"), 1.5, "spec.x: must be a whole number, is the number 1.5"),
        (lambda p: p.flag("x"), "true", "spec.x: must be true or false, is the string 'true'"),
        (lambda p: p.at("x"), [], "spec.x: must be a mapping, is a list"),
        (lambda p: p.at("x", "y"), {"y": 1}, "spec.x.y: must be a mapping, is the number 1"),
        (lambda p: p.parts("x"), {}, "spec.x: must be a list, is a mapping"),
        (lambda p: p.parts("x"), ["a"], "spec.x[0]: must be a mapping, is the string 'a'"),
        (lambda p: p.texts("x"), ["a", None], "spec.x[1]: must be a string, is null"),
        (lambda p: p.strings("x"), {"k": 1}, "spec.x.k: must be a string, is the number 1"),
        (lambda p: p.parts("x")[0].number("n"), [{"n": "a"}], "spec.x[0].n: must be a whole"),
    ],
)
def test_a_wrong_type_names_object_field_and_mend(
    ask: Callable[[Part], object], value: Json, sentence: str
) -> None:
    with pytest.raises(FieldInvalidError) as caught:
        ask(part({"x": value}))

    assert str(caught.value).startswith(f"Pod shop/front: {sentence}")
    assert caught.value.subject == "Pod shop/front"
