"""Worlds of manifests alone, and what would happen in them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.why.answer import Answer, Hop, Verdict
from sluice.why.errors import QuestionRefusedError
from sluice.why.explain import explain
from sluice.why.steps import NO_REQUEST, ask_of
from tests.sluice.why.worlds import API, SHOP, STRICT, WAYPOINT, known, policy, route

STOCK = "{name: stock, port: 80}"
BY_ACCOUNT = "[{from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]}]"

KNOWN = known(SHOP)


def why(source: str, destination: str, *manifests: str, http: str = "") -> Answer:
    ask = ask_of(http, ()) if http else NO_REQUEST
    return explain(known(SHOP, *manifests), source, destination, ask)


def reason(answer: Answer) -> Hop:
    assert answer.reason is not None
    return answer.reason


def kinds(answer: Answer) -> list[str]:
    (only,) = answer.outcomes
    return [hop.kind for hop in only.hops]


# Node proxies.


@pytest.mark.parametrize(
    "name", ["stock", "stock.shop", "stock.shop.svc.cluster.local", "stock:80"]
)
def test_between_pods_of_the_mesh_there_is_a_tunnel_by_any_of_a_services_names(name: str) -> None:
    answer = why("shop/front", name, STRICT)

    assert answer.verdict is Verdict.PASSES
    assert answer.destination.endswith(":80")
    assert kinds(answer) == ["capture", "name", "tunnel", "inbound", "policy", "arrival"]


@pytest.mark.parametrize("who", ["shop/front", "shop/deploy/stock", "shop/stock", "stock.shop"])
def test_a_caller_is_a_pod_a_deployment_or_a_service(who: str) -> None:
    assert why(who, "stock.shop:80", STRICT).verdict is Verdict.PASSES


def test_plain_text_meets_strict_with_a_mend() -> None:
    answer = why("yard/outside", "stock.shop:80", STRICT)

    assert answer.verdict is Verdict.REFUSED
    assert kinds(answer) == ["capture", "name", "service", "inbound", "policy"]
    assert reason(answer).code == "policy_denied"
    assert "STRICT" in reason(answer).text
    assert "dataplane-mode" in reason(answer).mend


@pytest.mark.parametrize("who", ["yard/outside", "198.51.100.7", "external"])
def test_without_strict_plain_text_is_let_in(who: str) -> None:
    assert why(who, "shop/deploy/stock:3000").verdict is Verdict.PASSES


def test_who_is_outside_is_called_in_plain_text() -> None:
    answer = why("shop/front", "yard.yard", STRICT)

    assert answer.verdict is Verdict.PASSES
    assert "plain" in kinds(answer)


def test_a_refusal_names_the_policy_its_rule_and_its_file() -> None:
    denial = policy("nobody", "DENY", BY_ACCOUNT)

    found = reason(why("shop/front", "stock:80", denial))

    assert (found.code, found.policy, found.rule) == ("policy_denied", "shop/nobody", 0)
    assert (found.status, found.origin) == (401, "world-1.yaml")


def test_who_is_not_among_those_that_are_allowed_is_refused() -> None:
    allowed = policy("only-front", "ALLOW", BY_ACCOUNT)

    assert why("shop/front", "stock:80", allowed).verdict is Verdict.PASSES
    assert reason(why("shop/stock", "stock:80", allowed)).code == "policy_not_allowed"
    assert reason(why("yard/outside", "stock.shop:80", allowed)).code == "policy_not_allowed"


@pytest.mark.parametrize(
    ("who", "what", "code"),
    [
        ("shop/front", "empty:80", "route_no_endpoint"),
        ("yard/outside", "empty.shop:80", "route_no_endpoint"),
        ("shop/front", "stock:81", "route_no_endpoint"),
        ("shop/front", "nobody.shop:80", "name_unknown"),
        ("yard/outside", "stock:80", "name_unknown"),
        ("shop/front", "127.0.0.1:15001", "route_self_call"),
        ("shop/front", "shop/front:15006", "self_call"),
        ("yard/outside", "shop/front:15001", "self_call"),
    ],
)
def test_each_way_to_go_nowhere_has_its_code(who: str, what: str, code: str) -> None:
    answer = why(who, what)

    assert answer.verdict is Verdict.REFUSED
    assert reason(answer).code == code


@pytest.mark.parametrize("what", ["198.51.100.7:443", "example.com:443"])
def test_whom_nobody_knows_is_reached_as_it_is(what: str) -> None:
    answer = why("shop/front", what)

    assert answer.verdict is Verdict.PASSES
    assert answer.outcomes[0].unseen


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.example.com]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 198.51.100.9}]
"""


def test_a_host_outside_that_is_declared_has_an_address_for_the_mesh_alone() -> None:
    inside = why("shop/front", "db.example.com", ENTRY)
    outside = why("yard/outside", "db.example.com", ENTRY)

    assert kinds(inside) == ["capture", "name", "plain", "inbound", "arrival"]
    assert kinds(outside) == ["capture", "name", "outside"]
    assert "198.51.100.9:5432" in inside.outcomes[0].hops[-1].text


@given(*[st.text(alphabet="ab/:.[]0189*-shopfrntck ", max_size=16)] * 2)
def test_whatever_is_typed_is_answered_or_refused(source: str, destination: str) -> None:
    for who in (source, "shop/front"):
        with suppress(QuestionRefusedError):
            assert explain(KNOWN, who, destination).outcomes


# Waypoints.


def test_a_request_goes_by_the_waypoint_and_arrives_as_it() -> None:
    answer = why("shop/front", "api", WAYPOINT, API, STRICT, http="GET /x")

    assert answer.verdict is Verdict.PASSES
    assert kinds(answer)[2:5] == ["tunnel", "waypoint", "route"]
    assert any("sa/waypoint passes" in hop.text for hop in answer.outcomes[0].hops)


def test_without_a_request_one_is_assumed_where_http_is_spoken() -> None:
    assert "request" in kinds(why("shop/front", "api", WAYPOINT, API))


def test_a_waypoint_that_is_not_there_refuses() -> None:
    assert reason(why("shop/front", "api", API)).code == "route_waypoint_unknown"


def test_who_is_outside_goes_past_the_waypoint() -> None:
    answer = why("yard/outside", "api.shop", WAYPOINT, API)

    assert "waypoint" not in kinds(answer)
    assert any("past its waypoint" in hop.text for hop in answer.outcomes[0].hops)


def test_what_no_rule_matches_is_404() -> None:
    found = reason(
        why("shop/front", "api", WAYPOINT, API, route(f"[{STOCK}]", "/x"), http="GET /y")
    )

    assert (found.code, found.status) == ("http_no_route", 404)


def test_a_rule_is_named_with_its_backends() -> None:
    answer = why("shop/front", "api", WAYPOINT, API, route(f"[{STOCK}]", "/x"), http="GET /x/1")

    (hop,) = [hop for hop in answer.outcomes[0].hops if hop.kind == "route"]
    assert hop.route == "HTTP route shop/api"
    assert "weight 1" in hop.text


def test_the_share_of_a_backend_that_is_not_there_fails() -> None:
    backends = "[{name: stock, port: 80, weight: 3}, {name: gone, port: 80, weight: 1}]"

    answer = why("shop/front", "api", WAYPOINT, API, route(backends))

    assert answer.verdict is Verdict.DEPENDS
    assert [(each.share, each.refusal is None) for each in answer.outcomes] == [
        (0.75, True),
        (0.25, False),
    ]
    assert (reason(answer).code, reason(answer).status) == ("route_backend_unknown", 500)


@pytest.mark.parametrize(
    ("backends", "code", "status"),
    [
        ("[{name: stock, port: 80, weight: 0}]", "http_no_backend", 500),
        ("[{name: empty, port: 80}]", "http_no_endpoint", 503),
    ],
)
def test_a_rule_that_leads_nowhere_says_so(backends: str, code: str, status: int) -> None:
    found = reason(why("shop/front", "api", WAYPOINT, API, route(backends)))

    assert (found.code, found.status) == (code, status)


def test_a_redirect_is_the_waypoints_own_answer() -> None:
    filters = "filters: [{type: RequestRedirect, requestRedirect: {hostname: elsewhere.example}}]"

    answer = why("shop/front", "api", WAYPOINT, API, route("[]", "/", filters))

    assert answer.verdict is Verdict.PASSES
    assert kinds(answer)[-1] == "filters"
    assert "302" in answer.outcomes[0].hops[-1].text


def test_a_filter_without_a_program_fails() -> None:
    reference = "{group: sluice.dev, kind: Filter, name: gone}"
    filters = f"filters: [{{type: ExtensionRef, extensionRef: {reference}}}]"

    found = reason(why("shop/front", "api", WAYPOINT, API, route(f"[{STOCK}]", "/", filters)))

    assert (found.kind, found.status) == ("filters", 500)
    assert found.code


@pytest.mark.parametrize(
    ("http", "passes"), [("GET /x", True), ("GET /secret/1", False), ("POST /x", True)]
)
def test_a_policy_at_the_waypoint_judges_the_request(http: str, passes: bool) -> None:
    rules = '[{to: [{operation: {paths: ["/secret*"]}}]}]'
    target = 'targetRefs: [{group: "", kind: Service, name: api}]'
    denial = policy("secret", "DENY", rules, target)

    answer = why("shop/front", "api", WAYPOINT, API, denial, http=http)

    assert (answer.verdict is Verdict.PASSES) is passes
    if not passes:
        found = reason(answer)
        assert (found.code, found.policy, found.status) == ("policy_denied", "shop/secret", 403)


def test_the_endpoint_judges_the_waypoint_and_not_who_called_it() -> None:
    allowed = policy("front", "ALLOW", BY_ACCOUNT, "selector: {matchLabels: {app: stock}}")

    found = reason(why("shop/front", "api", WAYPOINT, API, allowed))

    assert found.code == "policy_not_allowed"
    assert "sa/waypoint" in found.text


# Wrong use.


@pytest.mark.parametrize(
    ("who", "what", "told"),
    [
        ("shop/nobody", "stock:80", "shop/nobody"),
        ("nobody", "stock:80", "no such service"),
        ("shop/front", "stock:http", "port"),
        ("shop/front", "stock:99999", "port"),
        ("shop/front", "shop/deploy/stock", "which port"),
        ("shop/front", "shop/nobody:80", "shop/nobody"),
        ("shop/front", ":80", "write NS/POD"),
        ("shop/front", "[::1]", "which port"),
        ("a/b/c/d", "stock:80", "write NS/POD"),
    ],
)
def test_who_or_what_is_not_there_is_a_sentence(who: str, what: str, told: str) -> None:
    with pytest.raises(QuestionRefusedError, match=told):
        why(who, what)


@pytest.mark.parametrize("written", ["GET x", "GET", "GET / HTTP/1.1"])
def test_a_request_is_a_method_and_a_path(written: str) -> None:
    with pytest.raises(QuestionRefusedError, match="write a request"):
        ask_of(written, ())


def test_what_is_wrong_with_a_manifest_is_told() -> None:
    answer = why("shop/front", "stock:80", "kind: Nothing\n")

    assert "world-1.yaml" in answer.problems[0]
