"""Users' filters at a waypoint: changed while requests go on, and one that loops beside another."""

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.mesh import Lab, lab, wait_until
from tests.e2e.test_waypoint_life import SHOP, WAYPOINT

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]

CLIENT = "shop/deploy/cake"
FILTERED = """
apiVersion: sluice.dev/v1alpha1
kind: Filter
metadata: {name: NAME, namespace: shop}
spec:
  budgetMs: BUDGET
  config: {word: WORD}
  python: |
    from waypoint.filter import Answer, Filter

    class Guard(Filter):
        def request(self, request):
            while request.target == "/loop":
                pass
            if "x-tenant" not in request.headers:
                return Answer(400, body=b"which tenant?")
            request.headers["x-word"] = self.config["word"]

        def response(self, response):
            response.headers["x-word"] = self.config["word"]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: NAME, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: NAME}]
  rules:
  - filters:
    - {type: ExtensionRef, extensionRef: {group: sluice.dev, kind: Filter, name: NAME}}
    backendRefs: [{name: NAME, port: 80}]
"""

# Asks again and again on one connection; for each line that it is given, tells what it has seen.
ASKING = """
import collections, http.client, json, select, sys, time
seen = collections.Counter()
connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
while True:
    try:
        connection.request("GET", "/", headers={"x-tenant": "bakery"})
        answer = connection.getresponse()
        answer.read()
        seen[f"{answer.status} {answer.headers['x-word']}"] += 1
    except (OSError, http.client.HTTPException) as error:
        seen[repr(error)] += 1
        connection.close()
    if select.select([sys.stdin], [], [], 0.005)[0]:
        if not sys.stdin.readline():
            break
        print(json.dumps(seen), flush=True)
        seen.clear()
"""


def filtered(name: str, word: str, budget_ms: int = 2000) -> str:
    """A filter of a service's requests, and the route that names it."""
    named = FILTERED.replace("NAME", name).replace("WORD", word)
    return named.replace("BUDGET", str(budget_ms))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two services behind one waypoint, each with a filter."""
    manifest = tmp_path_factory.mktemp("filters") / "shop.yaml"
    waypoint = WAYPOINT.replace("NAME", "waypoint").replace("CLASS", "sluice-waypoint")
    shop = SHOP.replace("ambient}", "ambient, istio.io/use-waypoint: waypoint}")
    manifest.write_text("\n---\n".join((shop, waypoint, filtered("bread", "first"))))
    with lab("e2e-filters", manifest) as made:
        made.apply(filtered("cake", "other", 50))
        for name, word in (("bread", "first"), ("cake", "other")):
            wait_until(f"{name}'s filter", lambda n=name, w=word: asks(made, n) == f"200 {w}")
        yield made


def asks(mesh: Lab, name: str, path: str = "/", tenant: str = "x-tenant: bakery") -> str:
    """The status of an answer, and what the filter wrote on it."""
    shown = "%{http_code} %header{x-word}"
    options = ("-sS", "-o", "/dev/null", "-w", shown, "-H", tenant, "--max-time", "5")
    return mesh.exec(CLIENT, "curl", *options, f"http://{name}.shop{path}").strip()


def test_a_filter_stamps_requests_and_refuses_those_without_a_tenant(mesh: Lab) -> None:
    assert asks(mesh, "bread") == "200 first"
    assert asks(mesh, "bread", tenant="x-other: 1") == "400"
    told = mesh.curl(CLIENT, "http://bread.shop/", "-H", "x-tenant: bakery")
    headers = told["headers"]
    assert isinstance(headers, Mapping)
    assert {name.lower(): value for name, value in headers.items()}["x-word"] == ["first"]


def test_a_filter_is_changed_while_requests_go_on_and_none_is_lost(mesh: Lab) -> None:
    with mesh.program(CLIENT, "python3", "-c", ASKING, "bread.shop") as asking:
        wait_until("requests", lambda: set(json.loads(asking.asks(""))) == {"200 first"})
        mesh.apply(filtered("bread", "second"))
        seen: set[str] = set()

        def is_changed() -> bool:
            now = set(json.loads(asking.asks("")))
            seen.update(now)
            return now == {"200 second"}

        wait_until("the new filter", is_changed)
        assert seen <= {"200 first", "200 second"}
    mesh.apply(filtered("bread", "first"))
    wait_until("the filter as it was", lambda: asks(mesh, "bread") == "200 first")


def test_a_filter_that_loops_fails_its_own_requests_only(mesh: Lab) -> None:
    with mesh.program(CLIENT, "python3", "-c", ASKING, "bread.shop") as asking:
        wait_until("requests", lambda: bool(json.loads(asking.asks(""))))
        assert asks(mesh, "cake", "/loop") == "500"
        # The first time ends the process of both; of bread's requests only those can fail that
        # were between its two hooks just then.
        first = json.loads(asking.asks(""))
        assert sum(count for seen, count in first.items() if seen != "200 first") <= 1
        for _ in range(3):
            wait_until("cake's filter", lambda: asks(mesh, "cake") == "200 other")
            assert asks(mesh, "cake", "/loop") == "500"
        assert set(json.loads(asking.asks(""))) == {"200 first"}
    log = "".join(mesh.must("logs", f"shop/{name}") for name in waypoints(mesh))
    assert "filter_over_budget" in log
    assert "it has a process of its own now" in log


def waypoints(mesh: Lab) -> list[str]:
    """The waypoint's pods."""
    listed = json.loads(mesh.must("get", "pods", "-o", "json"))["items"]
    names = [one["metadata"]["name"] for one in listed]
    return [name for name in names if name.startswith("waypoint-")]
