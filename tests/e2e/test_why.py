"""What `sluice why` says is what happens: each question is asked, and then each call is made."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sluice.lab.home import Home
from sluice.why.config_dump import known_of_dump
from sluice.why.explain import explain
from sluice.why.sources import known_of_lab, known_of_texts
from sluice.why.steps import ask_of
from tests.e2e.mesh import SLUICE, Json, Lab, lab, wait_until
from tests.sluice.why.worlds import API, SHOP, STRICT, WAYPOINT, policy

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

NEXT = """
apiVersion: v1
kind: Pod
metadata: {name: next, namespace: shop, labels: {app: next}}
spec: {serviceAccountName: next, containers: [{name: app, image: sluice/echo}]}
---
apiVersion: v1
kind: Service
metadata: {name: next, namespace: shop}
spec: {selector: {app: next}, ports: [{name: http, port: 80, targetPort: 3000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: closed, namespace: shop, labels: {app: closed}}
spec: {serviceAccountName: closed, containers: [{name: app, image: sluice/echo}]}
---
apiVersion: v1
kind: Service
metadata: {name: closed, namespace: shop}
spec: {selector: {app: closed}, ports: [{name: http, port: 80, targetPort: 3000}]}
---
apiVersion: v1
kind: Service
metadata: {name: waiting, namespace: shop, labels: {istio.io/use-waypoint: nobody}}
spec: {selector: {app: stock}, ports: [{name: http, port: 80, targetPort: 3000}]}
"""

ROUTES = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: api, port: 80}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /v1}}]
    backendRefs: [{name: stock, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /v2}}]
    backendRefs: [{name: next, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /gone}}]
    backendRefs: [{name: gone, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /empty}}]
    backendRefs: [{name: empty, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /moved}}]
    filters:
    - type: RequestRedirect
      requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /}}
"""

POLICIES = (
    policy(
        "closed",
        "DENY",
        "[{from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]}]",
        "selector: {matchLabels: {app: closed}}",
    ),
    policy(
        "secret",
        "DENY",
        '[{to: [{operation: {paths: ["/v1/secret*"]}}]}]',
        'targetRefs: [{group: "", kind: Service, name: api}]',
    ),
)
ACCOUNTS = """
apiVersion: v1
kind: Namespace
metadata: {name: yard}
""" + "".join(
    f"""---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: shop}}
"""
    for name in ("front", "stock", "next", "closed")
)
WORLD = "\n---\n".join((ACCOUNTS, SHOP, STRICT, WAYPOINT, API, NEXT, ROUTES, *POLICIES))


@dataclass(frozen=True)
class Case:
    """A call, and the code of what refuses it; empty: nobody does."""

    who: str
    what: str
    path: str
    code: str = ""
    status: int = 200


CASES = (
    Case("shop/front", "stock:80", "/"),
    Case("yard/outside", "stock.shop:80", "/", "policy_denied", 0),
    Case("shop/front", "yard.yard:80", "/", "", 200),
    Case("shop/front", "closed:80", "/", "policy_denied", 0),
    Case("shop/deploy/stock", "closed:80", "/"),
    Case("shop/front", "nobody.shop:80", "/", "name_unknown", 0),
    Case("shop/front", "empty:80", "/", "route_no_endpoint", 0),
    Case("shop/front", "waiting:80", "/", "route_waypoint_unknown", 0),
    Case("shop/front", "api:80", "/v1"),
    Case("shop/front", "api:80", "/v2"),
    Case("shop/front", "api:80", "/moved", "", 302),
    Case("shop/front", "api:80", "/other", "http_no_route", 404),
    Case("shop/front", "api:80", "/v1/secret", "policy_denied", 403),
    Case("shop/front", "api:80", "/gone", "route_backend_unknown", 500),
    Case("shop/front", "api:80", "/empty", "http_no_endpoint", 503),
    Case("yard/outside", "api.shop:80", "/v1", "policy_denied", 0),
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("why")
    manifest = folder / "world.yaml"
    manifest.write_text(WORLD)
    with lab("why", manifest) as running:
        yield running


def why(lab: Lab, case: Case) -> dict[str, Json]:
    """The answer for a case, whose exit code must agree with it."""
    words = ["why", case.who, case.what, "--http", f"GET {case.path}", "--json"]
    done = subprocess.run(
        [SLUICE, *words, "--name", lab.name],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    found: dict[str, Json] = json.loads(done.stdout)
    assert (found["verdict"] == "passes") is (done.returncode == 0)
    return found


def told(answer: dict[str, Json]) -> tuple[str, int]:
    """The code of the reason, and the status that it says."""
    match answer["reason"]:
        case None:
            return "", 0
        case {"code": str(code), "status": int(status)}:
            return code, status
        case other:
            pytest.fail(f"no reason: {other}")


def status_of(lab: Lab, case: Case) -> int:
    """What curl gets; 0 when it gets no answer."""
    options = ("-sS", "-o", "/dev/null", "--max-time", "5", "-w", "%{http_code}")
    url = f"http://{case.what}{case.path}"
    return int(lab.run("exec", case.who, "--", "curl", *options, url).stdout or 0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.who}-{case.what}{case.path}")
def test_what_is_said_is_what_happens(mesh: Lab, case: Case) -> None:
    code, status = told(why(mesh, case))

    assert status_of(mesh, case) == case.status
    assert code == case.code
    if code and case.status:
        assert status == case.status


def test_the_codes_are_those_in_the_logs(mesh: Lab) -> None:
    codes = {case.code for case in CASES} - {"", "name_unknown"}
    for case in CASES:
        if case.code in codes:
            status_of(mesh, case)
    logs = ("ztunnel@node-1", "ztunnel@node-2", f"shop/{waypoint_pod(mesh)}")

    def missing() -> set[str]:
        told = "".join(mesh.must("logs", name) for name in logs)
        return {code for code in codes if code not in told}

    wait_until("every code is in a log", lambda: not missing())


def waypoint_pod(lab: Lab) -> str:
    found = json.loads(lab.must("get", "pod", "-o", "json"))["items"]
    names = [str(each["metadata"]["name"]) for each in found]
    return next(name for name in names if name.startswith("waypoint-"))


def test_manifests_alone_give_the_same_answers(mesh: Lab) -> None:
    alone = known_of_texts([("world.yaml", WORLD)])
    live = known_of_lab(Home.of(mesh.name))

    for case in CASES:
        ask = ask_of(f"GET {case.path}", ())
        reasons = [explain(each, case.who, case.what, ask).reason for each in (alone, live)]
        assert len({reason.code if reason else "" for reason in reasons}) == 1, case


def test_a_proxys_own_dump_gives_the_same_answers_as_far_as_it_tells(mesh: Lab) -> None:
    url = "http://127.0.0.1:15000/config_dump"
    dump = known_of_dump(mesh.exec("node-1", "curl", "-sS", url), url)

    for case in CASES:
        if not case.code.startswith(("http_", "route_backend")) and case.status != 403:
            reason = explain(dump, case.who, case.what, ask_of(f"GET {case.path}", ())).reason
            assert (reason.code if reason else "") == case.code, case
