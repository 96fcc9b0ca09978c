import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.model.routes import Attachment, Route, RouteKind
from mesh.routing.http.patterns import PatternInvalidError
from mesh.routing.http.routes import ConnectionRoutes, RequestRoutes, Routes
from tests.mesh.routing.http.given import SERVICE, exact, match, prefix, regex, request, route, rule

OTHER = "shop/other.shop.svc.cluster.local"


def routes(*every: Route) -> Routes:
    made = Routes()
    for each in every:
        made.put(f"{each.kind}/{each.namespace}/{each.name}", each)
    return made


def going(
    known: Routes, target: str = "/", client: str = "shop", port: int = 80, service: str = SERVICE
) -> str | None:
    """The rule that a request goes by; `-` when there are routes and none matches."""
    chosen = known.choose(service, port, client)
    if chosen is None:
        return None
    found = chosen.match(request(target)) if isinstance(chosen, RequestRoutes) else chosen.match()
    return "-" if found is None else found.rule.name


PRODUCER = route(rule("producer", match(prefix("/"))), name="p")
CONSUMER = route(rule("consumer", match(prefix("/app"))), name="c", namespace="team")


def test_without_routes_a_port_is_forwarded_as_it_is() -> None:
    assert going(routes()) is None
    assert going(routes(PRODUCER), service=OTHER) is None


def test_a_route_in_the_services_namespace_is_for_every_client() -> None:
    known = routes(PRODUCER)
    assert [going(known, client=client) for client in ("shop", "team", "")] == ["producer"] * 3


def test_a_route_elsewhere_is_for_clients_of_its_namespace_only() -> None:
    known = routes(CONSUMER)
    assert going(known, "/app", "team") == "consumer"
    assert going(known, "/app", "shop") is None
    assert going(known, "/app", "else") is None
    assert going(known, "/app", "") is None


def test_a_clients_own_routes_displace_the_producers_and_are_not_merged_with_them() -> None:
    known = routes(PRODUCER, CONSUMER)
    assert going(known, "/app", "team") == "consumer"
    assert going(known, "/else", "team") == "-"
    assert going(known, "/else", "third") == "producer"
    known.remove("2/team/c")
    assert going(known, "/app", "team") == "producer"


def test_a_port_without_a_route_of_its_own_is_not_touched() -> None:
    on_80 = route(rule("80"), parents=(Attachment(SERVICE, 80),))
    known = routes(on_80)
    assert going(known, port=80) == "80"
    assert going(known, port=8080) is None


def test_routes_for_the_port_and_for_every_port_are_merged() -> None:
    on_80 = route(rule("80", match(prefix("/a"))), name="x", parents=(Attachment(SERVICE, 80),))
    on_all = route(rule("all", match(exact("/a/b")), match(prefix("/"))), name="y")
    known = routes(on_80, on_all)
    assert going(known, "/a") == "80"
    assert going(known, "/a/b") == "all"
    assert going(known, "/c") == "all"
    assert going(known, "/a", port=8080) == "all"
    known.remove("2/shop/y")
    assert going(known, "/c") == "-"
    assert going(known, "/a", port=8080) is None


def test_a_consumers_route_on_one_port_leaves_the_others_to_the_producer() -> None:
    on_80 = route(rule("consumer"), namespace="team", name="c", parents=(Attachment(SERVICE, 80),))
    known = routes(PRODUCER, on_80)
    assert going(known, client="team", port=80) == "consumer"
    assert going(known, client="team", port=8080) == "producer"


def test_a_route_may_have_several_parents() -> None:
    known = routes(route(rule("both"), parents=(Attachment(SERVICE, 80), Attachment(OTHER))))
    assert going(known) == "both"
    assert going(known, service=OTHER, port=9) == "both"
    known.put("2/shop/r", route(rule("one"), parents=(Attachment(OTHER),)))
    assert going(known) is None
    assert going(known, service=OTHER) == "one"
    assert len(known) == 1


@pytest.mark.parametrize(
    ("kinds", "winner"),
    [
        ("GRPC HTTP TLS TCP", "GRPC"),
        ("HTTP TLS TCP", "HTTP"),
        ("TCP TLS", "TLS"),
        ("TCP", "TCP"),
    ],
)
def test_one_kind_has_a_port(kinds: str, winner: str) -> None:
    known = routes(*(route(rule(kind), name=kind, kind=RouteKind[kind]) for kind in kinds.split()))
    chosen = known.choose(SERVICE, 80, "")
    if winner in {"GRPC", "HTTP"}:
        assert isinstance(chosen, RequestRoutes)
        assert chosen.is_grpc == (winner == "GRPC")
    else:
        assert isinstance(chosen, ConnectionRoutes)
        assert chosen.is_tls == (winner == "TLS")
    assert going(known) == winner


def test_the_kind_is_that_of_the_port_wherever_the_route_is_attached() -> None:
    http = route(rule("http"), name="h", parents=(Attachment(SERVICE, 80),))
    grpc = route(rule("grpc"), name="g", kind=RouteKind.GRPC)
    known = routes(http, grpc)
    assert going(known, port=80) == "grpc"
    assert going(known, port=8080) == "grpc"
    known.remove("1/shop/g")
    assert going(known, port=80) == "http"
    assert going(known, port=8080) is None


def test_a_route_that_changes_its_kind_is_another() -> None:
    known = routes(route(rule("http")))
    known.put("2/shop/r", route(rule("tcp"), kind=RouteKind.TCP))
    assert isinstance(known.choose(SERVICE, 80, ""), ConnectionRoutes)


def test_a_bad_pattern_leaves_everything_as_it_was() -> None:
    known = routes(PRODUCER)
    with pytest.raises(PatternInvalidError):
        known.put("2/shop/p", route(rule("bad", match(regex("(")))))
    assert going(known) == "producer"
    with pytest.raises(PatternInvalidError):
        known.put("2/shop/new", route(rule("bad", match(regex("("))), name="new"))
    assert len(known) == 1


def test_a_host_header_says_nothing_about_the_service() -> None:
    known = routes(PRODUCER)
    chosen = known.choose(SERVICE, 80, "")
    assert isinstance(chosen, RequestRoutes)
    found = chosen.match(request(host="other.shop.svc.cluster.local"))
    assert found is not None
    assert found.rule.name == "producer"


def tls(name: str, *hostnames: str, created: int = 0, port: int = 0) -> Route:
    return route(
        rule(name),
        name=name,
        kind=RouteKind.TLS,
        hostnames=hostnames,
        created=created,
        parents=(Attachment(SERVICE, port),),
    )


TLS = routes(
    tls("exact", "a.example.com"),
    tls("near", "*.example.com"),
    tls("far", "*.com"),
    tls("two", "x.test", "*.y.test"),
)


@pytest.mark.parametrize(
    ("server_name", "name"),
    [
        ("a.example.com", "exact"),
        ("A.Example.COM", "exact"),
        ("a.example.com.", "exact"),
        ("b.example.com", "near"),
        ("c.b.example.com", "near"),
        ("example.com", "far"),
        ("com", None),
        ("x.test", "two"),
        ("z.y.test", "two"),
        ("y.test", None),
        ("example.org", None),
        ("", None),
        (".", None),
    ],
)
def test_the_most_specific_server_name_wins(server_name: str, name: str | None) -> None:
    chosen = TLS.choose(SERVICE, 443, "")
    assert isinstance(chosen, ConnectionRoutes)
    found = chosen.match(server_name)
    assert (None if found is None else found.rule.name) == name


def test_of_several_the_oldest_takes_every_connection() -> None:
    known = routes(tls("new", "a.com", created=2), tls("old", "a.com", created=1))
    chosen = known.choose(SERVICE, 443, "")
    assert isinstance(chosen, ConnectionRoutes)
    found = chosen.match("a.com")
    assert found is not None
    assert found.rule.name == "old"
    tcp = [
        route(rule(name), name=name, kind=RouteKind.TCP, created=created, hostnames=("ignored",))
        for name, created in (("b", 1), ("a", 1), ("z", 2))
    ]
    assert going(routes(*tcp)) == "a"


def test_a_ports_tls_routes_are_merged_with_those_of_every_port() -> None:
    known = routes(tls("wide", "a.com"), tls("here", "*.com", port=443), tls("any", port=443))
    chosen = known.choose(SERVICE, 443, "")
    assert isinstance(chosen, ConnectionRoutes)
    names = [chosen.match(name) for name in ("a.com", "b.com", "b.org", "")]
    assert [found.rule.name for found in names if found] == ["wide", "here", "any", "any"]


def test_a_route_without_rules_has_no_backend() -> None:
    chosen = routes(route(kind=RouteKind.TCP)).choose(SERVICE, 80, "")
    assert isinstance(chosen, ConnectionRoutes)
    found = chosen.match()
    assert found is not None
    assert found.rule.backends == ()


@pytest.mark.parametrize("kind", [RouteKind.HTTP, RouteKind.TCP])
def test_two_names_for_one_route_are_two_routes(kind: RouteKind) -> None:
    known = Routes()
    known.put("x", route(rule("x"), kind=kind))
    known.put("y", route(rule("y"), kind=kind))
    known.remove("y")
    assert going(known) == "x"


SOME = st.builds(
    lambda kind, namespace, name, ports, hostnames: route(
        rule(f"{kind}{namespace}{name}"),
        kind=kind,
        namespace=namespace,
        name=name,
        parents=tuple(Attachment(SERVICE, port) for port in ports),
        hostnames=tuple(hostnames),
    ),
    st.sampled_from(RouteKind),
    st.sampled_from(["shop", "team"]),
    st.sampled_from("ab"),
    st.sets(st.sampled_from([0, 80, 81]), min_size=1),
    st.sets(st.sampled_from(["a.com", "*.com"])),
)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.none() | SOME), max_size=8))
def test_routes_that_were_changed_are_like_routes_that_were_told_anew(
    steps: list[tuple[str, Route | None]],
) -> None:
    held: dict[str, Route] = {}
    changed = Routes()
    for name, step in steps:
        if step is None:
            held.pop(name, None)
            changed.remove(name)
        else:
            held[name] = step
            changed.put(name, step)
    anew = Routes()
    for name, each in held.items():
        anew.put(name, each)
    questions = [(client, port) for client in ("shop", "team", "else") for port in (80, 81, 82)]
    for client, port in questions:
        args = {"client": client, "port": port}
        assert going(changed, **args) == going(anew, **args)
    for name in held:
        changed.remove(name)
    assert all(changed.choose(SERVICE, port, client) is None for client, port in questions)
    assert not len(changed)
