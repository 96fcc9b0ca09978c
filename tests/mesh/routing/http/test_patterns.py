import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.routing.http.patterns import (
    MAX_PATTERN_OCTETS,
    PatternInvalidError,
    compile_pattern,
)


@pytest.mark.parametrize(
    ("text", "value", "matched"),
    [
        ("/v[0-9]+", b"/v12", True),
        ("/v[0-9]+", b"/v12/more", False),
        ("/v[0-9]+", b"x/v12", False),
        ("a|ab", b"ab", True),  # the whole value, whichever alternative comes first
        ("^/a$", b"/a", True),
        ("", b"", True),
        ("", b"x", False),
        ("[[:alpha:]]+-[[:digit:]]{2,3}", b"web-07", True),
        ("(?i)whale", b"WhAlE", True),
        (r"\d+\.\w+", b"1.x", True),
        (".*", b"a\nb", True),
        ("caf.", "café".encode(), True),
        ("caf[éè]", "café".encode(), True),
        (".*", b"\xff\xfe", True),
        ("/secret.*", b"/secret\xff", True),
        ("..", "é".encode(), False),
    ],
)
def test_a_pattern_is_compared_with_the_whole_value(text: str, value: bytes, matched: bool) -> None:
    assert compile_pattern(text).matches(value) is matched


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("(a", "missing )"),
        ("a(?=b)", "no looking around"),
        (r"(a)\1", "no back-references"),
        ("a{1001}", "repeat less"),
        ("((a{1,100}){1,100}){1,100}", "repeat less"),
        (r"\pL{1,200}", "repeat less"),
        ("([a-c]x){1,900}([x-z]y){1,900}", "repeat less"),
        ("a" * (MAX_PATTERN_OCTETS + 1), "shorten"),
        ("\ud800", "UTF-8"),
    ],
)
def test_what_cannot_be_compiled_is_named_with_its_mend(text: str, word: str) -> None:
    with pytest.raises(PatternInvalidError) as caught:
        compile_pattern(text)
    assert word in str(caught.value)
    assert caught.value.text == text
    assert len(str(caught.value)) < 300


def test_the_time_is_linear_in_the_value() -> None:
    pattern = compile_pattern("(a+)+b")
    start = time.perf_counter()
    assert not pattern.matches(b"a" * 20_000)
    assert time.perf_counter() - start < 0.2


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("/v1/users/[0-9]+", b"/v1/users/"),
        ("^/ab$", b"/ab"),
        ("/a/(bc|bd)", b"/a/b"),
        ("(?i)/a", b"/"),
        ("(/a)?/b", b"/"),
        (".*", b""),
        ("é", b""),
        ("", b""),
        ("[^a]", b""),
        (r"\C*", b""),
    ],
)
def test_a_pattern_knows_how_everything_begins_that_it_matches(text: str, beginning: bytes) -> None:
    assert compile_pattern(text).beginning == beginning


def test_patterns_of_one_text_are_equal() -> None:
    assert compile_pattern("a+") == compile_pattern("a+")
    assert compile_pattern("a+") != compile_pattern("a*")


LETTERS = st.text(alphabet="ab/?*+()|[]{}^$.\\1,-é", max_size=12)


@given(LETTERS, st.binary(max_size=12) | st.text("ab/", max_size=8).map(str.encode))
def test_any_text_is_a_pattern_or_an_error_of_ours_and_its_beginning_is_true(
    text: str, value: bytes
) -> None:
    try:
        pattern = compile_pattern(text)
    except MeshError:
        return
    if pattern.matches(value):
        assert value.startswith(pattern.beginning)
