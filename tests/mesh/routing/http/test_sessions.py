from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.model.routes import Backend, RouteRule, Session
from mesh.routing.http.sessions import (
    MAX_TOKEN_OCTETS,
    Held,
    held_by,
    renew,
    scope_of,
    wanted_backend,
)
from mesh.wire.http.messages import RequestHead, first
from tests.mesh.routing.http.given import match, prefix, request, route, rule, table

COOKIE = Session(in_cookie=True, name="sid")
HEADER = Session(in_cookie=False, name="X-Session")
HERE = Held("shop/a", 80, "cluster//Pod/shop/a-1", 1000, 1000)


def token(session: Session, held: Held = HERE, scope: str = "r") -> str:
    """What a client keeps."""
    fields = renew(session, scope, None, held)
    if not session.in_cookie:
        return fields[0][1].decode()
    cookie = first(fields, b"set-cookie")
    assert cookie is not None
    return cookie.decode().partition(";")[0].partition("=")[2]


def asking(session: Session, value: str) -> RequestHead:
    return request(cookie=f"a=b; sid={value}") if session.in_cookie else request(x_session=value)


@pytest.mark.parametrize("session", [COOKIE, HEADER])
def test_a_client_comes_back_to_where_it_was(session: Session) -> None:
    asked = asking(session, token(session))
    assert held_by(session, "r", asked, 5000) == HERE


@pytest.mark.parametrize("session", [COOKIE, HEADER])
def test_another_rule_does_not_know_the_token(session: Session) -> None:
    asked = asking(session, token(session))
    assert held_by(session, "s", asked, 5000) is None


def test_without_a_token_there_is_no_session() -> None:
    assert held_by(COOKIE, "r", request(), 0) is None
    assert held_by(HEADER, "r", request(), 0) is None


def test_the_first_cookie_that_counts_is_taken() -> None:
    asked = request(cookie=["sid=rubbish; x=y", f"sid={token(COOKIE)}"])
    assert held_by(COOKIE, "r", asked, 0) == HERE


@given(st.text(st.characters(codec="ascii", exclude_characters="; "), max_size=60))
def test_whatever_a_client_writes_is_a_wish_or_nothing(value: str) -> None:
    asked = RequestHead(b"GET", b"/", b"web", [(b"x-session", value.encode())])
    assert held_by(HEADER, "r", asked, 0) is None


def test_a_token_that_is_too_long_is_none() -> None:
    long = token(HEADER, replace(HERE, endpoint="e" * MAX_TOKEN_OCTETS))
    assert held_by(HEADER, "r", asking(HEADER, long), 0) is None


def test_a_wish_is_granted_among_the_rules_own_backends_whatever_their_weight() -> None:
    mine = Backend(service="shop/a", port=80, weight=0)
    broken = Backend(service="shop/b", port=80, problem="route_backend_unknown")
    own = RouteRule(backends=(broken, mine))
    assert wanted_backend(own, HERE) is mine
    assert wanted_backend(own, replace(HERE, service="shop/b")) is None
    assert wanted_backend(own, replace(HERE, service="shop/secret")) is None
    assert wanted_backend(own, replace(HERE, port=81)) is None


def test_a_session_ends_with_its_time() -> None:
    lasting = replace(COOKIE, lasts_s=100.0)
    asked = asking(COOKIE, token(lasting))
    assert held_by(lasting, "r", asked, 1100) == HERE
    assert held_by(lasting, "r", asked, 1101) is None
    idle = replace(COOKIE, idle_s=10.0)
    assert held_by(idle, "r", asked, 1010) == HERE
    assert held_by(idle, "r", asked, 1011) is None


def test_a_cookie_says_how_long_it_lives_and_where() -> None:
    assert renew(COOKIE, "r", None, HERE)[0][1].endswith(b"; Path=/; HttpOnly")
    lasting = replace(COOKIE, lasts_s=60.0, path="/shop")
    made = renew(lasting, "r", None, HERE, secure=True)[0][1]
    assert made.endswith(b"; Path=/shop; HttpOnly; Max-Age=60; Secure")


def test_a_token_is_handed_out_again_only_when_something_changed() -> None:
    later = replace(HERE, started=1030, seen=1030)
    assert renew(COOKIE, "r", HERE, later) == []
    moved = replace(later, endpoint="cluster//Pod/shop/a-2")
    asked = asking(COOKIE, token(COOKIE, moved))
    assert renew(COOKIE, "r", HERE, moved)
    assert held_by(COOKIE, "r", asked, 1030) == moved


def test_a_session_with_an_idle_time_is_refreshed_and_keeps_its_beginning() -> None:
    idle = replace(HEADER, idle_s=60.0, lasts_s=100.0)
    later = replace(HERE, started=1030, seen=1030)
    fresh = renew(idle, "r", HERE, later)
    asked = asking(HEADER, fresh[0][1].decode())
    assert held_by(idle, "r", asked, 1050) == replace(HERE, seen=1030)
    assert held_by(idle, "r", asked, 1101) is None
    in_cookie = replace(idle, in_cookie=True)
    assert b"; Max-Age=70" in renew(in_cookie, "r", HERE, later)[0][1]


def test_a_rule_is_told_by_its_name_or_its_place() -> None:
    routes = table(route(rule("named", match(prefix("/a"))), RouteRule()))
    named, unnamed = routes.match(request("/a")), routes.match(request("/b"))
    assert named is not None
    assert unnamed is not None
    assert scope_of(named) == "2/shop/r/named"
    assert scope_of(unnamed) == "2/shop/r/1"
