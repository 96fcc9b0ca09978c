"""Outside destinations with a name and a place: ServiceEntries and WorkloadEntries in a lab."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.mesh import Lab, lab, wait_until

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]

WORLD = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: till, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: till, namespace: shop, labels: {app: till}}
spec:
  serviceAccountName: till
  nodeName: node-1
  containers: [{name: app, image: none, command: [sleep, infinity]}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: press, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: press, namespace: shop, labels: {app: press}}
spec:
  serviceAccountName: press
  nodeName: node-2
  containers: [{name: web, image: sluice/echo, ports: [{name: http, containerPort: 3000}]}]
---
apiVersion: v1
kind: Namespace
metadata: {name: far}
---
apiVersion: v1
kind: Pod
metadata: {name: rows, namespace: far, labels: {app: rows}}
spec:
  nodeName: node-2
  containers: [{name: web, image: sluice/echo, ports: [{name: http, containerPort: 3000}]}]
"""
NAMED = """
apiVersion: v1
kind: Service
metadata: {name: rows, namespace: far}
spec: {clusterIP: None, selector: {app: rows}, ports: [{name: http, port: 3000}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec:
  hosts: [named.example.com]
  addresses: [10.97.0.3]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 3000}]
  endpoints: [{address: rows.far.svc.cluster.local}]
"""
RANGE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: range, namespace: shop}
spec:
  hosts: [range.example.com]
  addresses: [PLACE/32, 10.97.9.0/24]
  resolution: NONE
  ports: [{number: 3000, name: http, protocol: HTTP}]
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: rows, namespace: shop, labels: {istio.io/use-waypoint: USED}}
spec:
  hosts: [rows.example.com]
  ADDRESSES
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 3000}]
  endpoints: [{address: PLACE}]
"""
WAYPOINT = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: m, port: 15008, protocol: HBONE}]}
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: rows, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: rows}]
  rules:
  - filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: x-route, value: "yes"}]}
    backendRefs: [{group: networking.istio.io, kind: Hostname, name: rows.example.com, port: 80}]
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: rows, namespace: shop}
spec:
  targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: rows}]
  action: DENY
  rules: [{to: [{operation: {paths: [/secret]}}]}]
"""
MACHINE = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  {name: old-press, namespace: shop, labels: {craft: print},
   annotations: {ambient.istio.io/redirection: enabled}}
spec: {address: PLACE, serviceAccount: ACCOUNT, ports: {http: 3000}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: print, namespace: shop}
spec:
  hosts: [print.shop.mesh]
  addresses: [10.97.0.2]
  resolution: STATIC
  workloadSelector: {labels: {craft: print}}
  ports: [{number: 80, name: http, protocol: HTTP}]
"""
CLIENT = "shop/till"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    manifest = tmp_path_factory.mktemp("entries") / "world.yaml"
    manifest.write_text(WORLD)
    with lab("e2e-entries", manifest, nodes=2) as made:
        yield made


def shown(mesh: Lab, kind: str, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(mesh.must("get", kind, name, "-o", "json"))["status"]
    return found


def entry(mesh: Lab, used: str, addresses: str) -> str:
    place = str(shown(mesh, "pod", "far/rows")["podIP"])
    return ENTRY.replace("USED", used).replace("ADDRESSES", addresses).replace("PLACE", place)


def bound(mesh: Lab, kind: str, name: str) -> object:
    conditions = shown(mesh, kind, name).get("conditions", [])
    assert isinstance(conditions, list)
    return {each["type"]: each["status"] for each in conditions}


def test_an_outside_pod_is_reached_by_the_address_of_its_entry(mesh: Lab) -> None:
    mesh.apply(entry(mesh, "none", "addresses: [10.97.0.1]"))

    assert mesh.curl(CLIENT, "http://10.97.0.1/")["pod"] == "rows"

    mesh.apply(entry(mesh, "none", ""))
    given = shown(mesh, "serviceentry", "shop/rows")["addresses"]
    assert given == [
        {"host": "rows.example.com", "value": "240.240.0.1"},
        {"host": "rows.example.com", "value": "2001:2::1"},
    ]
    assert mesh.curl(CLIENT, "http://240.240.0.1/")["pod"] == "rows"


def test_a_waypoint_a_policy_and_a_route_stand_before_it(mesh: Lab) -> None:
    mesh.apply(WAYPOINT)
    mesh.apply(entry(mesh, "way", "addresses: [10.97.0.1]"))
    wait_until(
        "the waypoint", lambda: bound(mesh, "se", "shop/rows") == {"istio.io/WaypointBound": "True"}
    )
    wait_until("an answer", lambda: not mesh.refused(CLIENT, "http://10.97.0.1/"))
    assert mesh.curl(CLIENT, "http://10.97.0.1/")["pod"] == "rows"

    mesh.apply(POLICY)
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    assert mesh.exec(CLIENT, "curl", "-s", *code, "http://10.97.0.1/secret").strip() == "403"

    mesh.apply(ROUTE)
    headers = mesh.curl(CLIENT, "http://10.97.0.1/")["headers"]
    assert isinstance(headers, dict)
    assert {name.lower(): value for name, value in headers.items()}["x-route"] == ["yes"]


def test_a_waypoint_looks_up_an_endpoint_that_is_a_name(mesh: Lab) -> None:
    # A node's proxy asks the resolver of its machine, which knows nothing of a lab's names.
    place = str(shown(mesh, "pod", "far/rows")["podIP"])
    mesh.apply(NAMED.replace("PLACE", place))
    assert mesh.curl(CLIENT, "http://10.97.0.3/")["pod"] == "rows"


def test_whatever_was_called_is_called_where_there_is_nothing_to_resolve(mesh: Lab) -> None:
    place = str(shown(mesh, "pod", "far/rows")["podIP"])
    mesh.apply(RANGE.replace("PLACE", place))
    assert mesh.curl(CLIENT, f"http://{place}:3000/")["pod"] == "rows"
    named = 'dst.service="range.example.com"'
    wait_until("the line of the log", lambda: named in mesh.must("logs", "ztunnel@node-1"))


def test_a_machine_is_called_only_as_the_account_that_its_entry_names(mesh: Lab) -> None:
    place = str(shown(mesh, "pod", "shop/press")["podIP"])

    mesh.apply(MACHINE.replace("PLACE", place).replace("ACCOUNT", "press"))
    assert mesh.curl(CLIENT, "http://10.97.0.2/")["pod"] == "press"

    mesh.apply(MACHINE.replace("PLACE", place).replace("ACCOUNT", "somebody-else"))
    assert mesh.refused(CLIENT, "http://10.97.0.2/")

    mesh.must("delete", "we", "shop/old-press")
    assert mesh.refused(CLIENT, "http://10.97.0.2/")
