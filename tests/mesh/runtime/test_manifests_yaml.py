import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.runtime.manifests_yaml import MAX_DEPTH, documents


def values(text: str) -> list[object]:
    return [document.value for document in documents(text)]


def problems(text: str) -> list[str]:
    return [document.problem for document in documents(text) if document.problem]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-08-01T10:01:00Z", "2026-08-01T10:01:00Z"),
        ("2026-08-01", "2026-08-01"),
        ("10:20", "10:20"),
        ("1:2.5", "1:2.5"),
        ("::1", "::1"),
        ("1.2.3", "1.2.3"),
        ("08", "08"),
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("1.30", 1.3),
    ],
)
def test_a_scalar_is_what_kubernetes_takes_it_for(text: str, value: object) -> None:
    found = values(f"x: {text}")
    assert found == [{"x": value}]
    assert type(found[0]["x"]) is type(value)  # type: ignore[index]


def test_keys_become_strings() -> None:
    assert values("{8080: a, yes: b, 1.5: c}") == [{"8080": "a", "true": "b", "1.5": "c"}]


def test_documents_are_counted_as_people_count_them() -> None:
    text = "# about\n---\na: 1\n---\n# nothing\n---\nb: 2\n"
    assert [(one.number, one.value) for one in documents(text)] == [(1, {"a": 1}), (3, {"b": 2})]
    assert [(one.number, one.value) for one in documents("a: 1\n---\nb: 2")] == [
        (1, {"a": 1}),
        (2, {"b": 2}),
    ]


def test_a_bad_document_spoils_no_other_and_names_its_line() -> None:
    found = list(documents("a: 1\n---\nb: [\n---\nc: 3\n"))

    assert [one.value for one in found] == [{"a": 1}, None, {"c": 3}]
    assert found[1].problem.startswith(", line 4: is not YAML (")


def test_a_marker_inside_a_block_of_text_is_indented_and_no_marker() -> None:
    assert values("a: |\n  ---\n  b\n") == [{"a": "---\nb\n"}]


def test_json_is_read_with_its_tabs() -> None:
    assert values('{\n\t"a": [1, "2"]\n}') == [{"a": [1, "2"]}]


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [*x]",
        "a: .nan",
        "a: !!binary aGk=",
        "a: !!python/object:os.system x",
        "? [a]\n: b",
        "a: 1\n...\nb: 2",
        "[" * 5000,
        "- " * 5000,
        "a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "\x00",
        "a: !!int x",
    ],
)
def test_what_is_no_json_is_a_problem(text: str) -> None:
    assert len(problems(text)) == 1


def test_a_document_that_would_unfold_without_end_is_refused_without_unfolding() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    assert "aliases counted" in problems("\n".join(rows))[0]


@given(st.text() | st.text("[]{}:-&*!|>#,\n \"'ab1."))
def test_garbage_gives_values_or_problems_and_never_an_error(text: str) -> None:
    for document in documents(text):
        assert document.number > 0


@pytest.mark.parametrize("escape", ["\\ud800", "\\udc00\\ud800"])
def test_half_of_a_surrogate_pair_is_no_text(escape: str) -> None:
    [found] = documents(f'{{"a": "{escape}"}}')
    assert found.value is None
    assert "invalid Unicode" in found.problem


def test_a_whole_surrogate_pair_is_the_character_that_it_means() -> None:
    [found] = documents('{"a": "\\ud83c\\udf0a"}')
    assert found.value == {"a": "\U0001f30a"}
