import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.routing.http.paths import (
    PathInvalidError,
    PathNormalisation,
    normalise_path,
    spellings,
)

NONE, BASE, MERGE, DECODE = PathNormalisation

ROWS = [
    # as received, BASE, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES
    ("/", "/", "/", "/"),
    ("/a/b?x=/../%2e", "/a/b?x=/../%2e", "/a/b?x=/../%2e", "/a/b?x=/../%2e"),
    ("/a/../b", "/b", "/b", "/b"),
    ("/a/./b", "/a/b", "/a/b", "/a/b"),
    ("/a/.", "/a/", "/a/", "/a/"),
    ("/a/b/..", "/a/", "/a/", "/a/"),
    ("/../../a", "/a", "/a", "/a"),
    ("/..", "/", "/", "/"),
    ("/.", "/", "/", "/"),
    ("/a/...", "/a/...", "/a/...", "/a/..."),
    ("/a/.b", "/a/.b", "/a/.b", "/a/.b"),
    ("/%61dmin", "/admin", "/admin", "/admin"),
    ("/%41-%5f%7E", "/A-_~", "/A-_~", "/A-_~"),
    ("/a/%2e%2E/admin", "/admin", "/admin", "/admin"),
    ("/a\\..\\admin", "/admin", "/admin", "/admin"),
    ("/a//b", "/a//b", "/a/b", "/a/b"),
    ("///a", "///a", "/a", "/a"),
    ("/a//../b", "/a/b", "/b", "/b"),
    ("/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"),
    ("/a%2fb", "/a%2Fb", "/a%2Fb", "/a/b"),
    ("/a%5c..%5Cb", "/a%5C..%5Cb", "/a%5C..%5Cb", "/b"),
    ("/a%2f%2fb", "/a%2F%2Fb", "/a%2F%2Fb", "/a/b"),
    ("/a/..%2fadmin", "/a/..%2Fadmin", "/a/..%2Fadmin", "/admin"),
    ("/a%252fb", "/a%252fb", "/a%252fb", "/a%252fb"),
    ("/%252e%252e/b", "/%252e%252e/b", "/%252e%252e/b", "/%252e%252e/b"),
    ("/a%%32%66b", "/a%252fb", "/a%252fb", "/a%252fb"),
    ("/100%", "/100%25", "/100%25", "/100%25"),
    ("/%zz", "/%25zz", "/%25zz", "/%25zz"),
    ("/%c3%a9", "/%C3%A9", "/%C3%A9", "/%C3%A9"),
    ("/\xe9", "/%E9", "/%E9", "/%E9"),
    ("/a;x=1/b,c(d)!$&'*+=:@|[]", *["/a;x=1/b,c(d)!$&'*+=:@|[]"] * 3),
    ('/"<a>^`{b}', *['/"<a>^`{b}'] * 3),
    ("/a/..;/b", *["/a/..;/b"] * 3),
    ("*", "*", "*", "*"),
    ("", "", "", ""),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_path_has_one_spelling(row: tuple[str, ...]) -> None:
    octets = [each.encode("latin-1") for each in row]
    assert normalise_path(octets[0], NONE) == octets[0]
    assert [normalise_path(octets[0], how) for how in (BASE, MERGE, DECODE)] == octets[1:]


def test_the_default_is_istios() -> None:
    assert normalise_path(b"/a/..//%2f") == b"//%2F"


@pytest.mark.parametrize("how", PathNormalisation)
@pytest.mark.parametrize(
    "target",
    ["/a%00", "/a\x00", "/a b", "/a\tb", "/a#b", "/\x7f", "a/b", "http://a/b", "?x", "/\x01?x"],
)
def test_what_is_no_path_is_refused(target: str, how: PathNormalisation) -> None:
    with pytest.raises(PathInvalidError) as caught:
        normalise_path(target.encode(), how)
    assert caught.value.target == target.encode()


PIECES = st.sampled_from(
    ["/", "//", ".", "..", "%2e", "%2F", "%5c", "\\", "%", "2", "f", "%61", "%25", "a", "\xe9", ";"]
)


@given(st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)))
def test_normalising_again_changes_nothing_and_leaves_no_way_up(path: str) -> None:
    for how in (BASE, MERGE, DECODE):
        once = normalise_path(path.encode("latin-1"), how)
        assert normalise_path(once, how) == once
        assert once.startswith(b"/")
        assert b".." not in once.split(b"/")
        assert b"\\" not in once
        if how >= MERGE:
            assert b"//" not in once
        if how >= DECODE:
            assert b"%2F" not in once
            assert b"%5C" not in once


@pytest.mark.parametrize(
    ("path", "others"),
    [
        (b"/admin", ()),
        (b"//admin", (b"/admin",)),
        (b"/admin;x=1", (b"/admin",)),
        (b"/admin%3Bx", (b"/admin",)),
        (b"/a/..;/admin", (b"/admin",)),
        (b"/a%2F..%2Fadmin", (b"/admin",)),
        (b"/a%5Cadmin;y", (b"/a/admin;y", b"/a/admin")),
        (b"/a/../%61dmin", (b"/admin",)),
        (b"/a%20b", ()),
        (b"*", ()),
    ],
)
def test_a_path_that_servers_may_read_otherwise_has_other_spellings(
    path: bytes, others: tuple[bytes, ...]
) -> None:
    assert spellings(path) == others
