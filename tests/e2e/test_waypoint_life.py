"""Waypoints come and go, and requests pass the right one: per namespace, service and account."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.mesh import SLUICE, Lab, lab, wait_until

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]

_SERVER = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: ACCOUNT, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME, also: both}}
    spec:
      serviceAccountName: ACCOUNT
      containers: [{name: web, image: sluice/echo, ports: [{name: http, containerPort: 3000}]}]
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: shop}
spec: {selector: {app: NAME}, ports: [{name: http, port: 80, targetPort: http}]}
---
"""
SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
""" + "".join(
    _SERVER.replace("NAME", name).replace("ACCOUNT", account)
    for name, account in (("bread", "baker"), ("cake", "cook"))
)
WAYPOINT = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: NAME, namespace: shop, labels: {istio.io/waypoint-for: all}}
spec: {gatewayClassName: CLASS, listeners: [{name: m, port: 15008, protocol: HBONE}]}
"""
CLIENT = "shop/deploy/cake"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    manifest = tmp_path_factory.mktemp("waypoints") / "shop.yaml"
    manifest.write_text(SHOP)
    with lab("e2e-waypoint-life", manifest, nodes=2) as made:
        yield made


def waypoint(mesh: Lab, *words: str, expects: int = 0) -> str:
    """`sluice waypoint WORDS`: its standard output."""
    command, *rest = words
    done = subprocess.run(
        [SLUICE, "waypoint", command, "--name", mesh.name, *rest],
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert done.returncode == expects, done.stderr
    return done.stdout


def pods(mesh: Lab, prefix: str) -> list[str]:
    """Names of pods in the shop."""
    listed = json.loads(mesh.must("get", "pods", "-o", "json"))["items"]
    names = [one["metadata"]["name"] for one in listed]
    return [name for name in names if name.startswith(f"{prefix}-")]


def address(mesh: Lab, prefix: str) -> str:
    """The address of a pod."""
    (name,) = pods(mesh, prefix)
    found: str = json.loads(mesh.must("get", "pod", f"shop/{name}", "-o", "json"))["status"][
        "podIP"
    ]
    return found


def passed(mesh: Lab, gateway: str) -> int:
    """How many requests and connections a waypoint has carried, by its log."""
    (name,) = pods(mesh, gateway)
    log = mesh.must("logs", f"shop/{name}")
    return log.count("request complete") + log.count("connection complete")


def goes_by(mesh: Lab, url: str, gateway: str) -> bool:
    """Whether a request to a URL is answered, and a waypoint has carried it."""
    before = passed(mesh, gateway)
    mesh.curl(CLIENT, url)
    wait_until("the waypoint's log line", lambda: passed(mesh, gateway) > before)
    return True


def test_a_waypoint_comes_serves_and_goes(mesh: Lab) -> None:
    waypoint(mesh, "apply", "-n", "shop", "--for", "all", "--enroll-namespace")

    rows = json.loads(waypoint(mesh, "list", "-o", "json"))
    assert [(row["name"], row["programmed"]) for row in rows] == [("waypoint", "True")]
    assert "Programmed: True" in waypoint(mesh, "status", "-n", "shop")
    (shown,) = json.loads(mesh.must("status", "-o", "json"))["gateways"]
    assert shown["address"]
    assert shown["programmed"]
    assert goes_by(mesh, "http://bread.shop/", "waypoint")
    assert goes_by(mesh, f"http://{address(mesh, 'bread')}:3000/", "waypoint")

    waypoint(mesh, "delete", "-n", "shop")
    assert pods(mesh, "waypoint") == []
    for kind in ("deployment", "service", "serviceaccount"):
        assert mesh.run("get", kind, "shop/waypoint").returncode == 1
    # Its namespace still asks for it: nothing goes past it.
    assert mesh.refused(CLIENT, "http://bread.shop/")
    waypoint(mesh, "status", "-n", "shop", expects=1)

    waypoint(mesh, "apply", "-n", "shop")
    waypoint(mesh, "delete", "-n", "shop", "--all", "--unenroll-namespace")
    mesh.curl(CLIENT, "http://bread.shop/")


def test_a_service_that_asks_for_a_waypoint_by_name_waits_for_it(mesh: Lab) -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: bread, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec: {selector: {app: bread}, ports: [{name: http, port: 80, targetPort: http}]}
"""
    mesh.apply(service)
    assert mesh.refused(CLIENT, "http://bread.shop/")
    mesh.curl(CLIENT, "http://cake.shop/")

    mesh.apply(WAYPOINT.replace("NAME", "way").replace("CLASS", "sluice-waypoint"))
    assert goes_by(mesh, "http://bread.shop/", "way")
    found = json.loads(mesh.must("get", "service", "shop/bread", "-o", "json"))
    (bound,) = found["status"]["conditions"]
    assert (bound["type"], bound["status"]) == ("istio.io/WaypointBound", "True")

    mesh.must("delete", "gateway", "shop/way")
    mesh.apply(SHOP)


def test_workloads_and_services_of_an_account_go_by_its_waypoint(mesh: Lab) -> None:
    waypoint(mesh, "apply", "-n", "shop", "--service-account", "baker")

    assert goes_by(mesh, "http://bread.shop/", "baker-waypoint")
    assert goes_by(mesh, f"http://{address(mesh, 'bread')}:3000/", "baker-waypoint")
    before = passed(mesh, "baker-waypoint")
    mesh.curl(CLIENT, "http://cake.shop/")
    mesh.curl("shop/deploy/bread", f"http://{address(mesh, 'cake')}:3000/")
    assert passed(mesh, "baker-waypoint") == before

    waypoint(mesh, "delete", "-n", "shop", "--service-account", "baker")
    mesh.curl(CLIENT, "http://bread.shop/")


def test_of_a_service_of_several_accounts_the_accounts_share_goes_by_its_waypoint(
    mesh: Lab,
) -> None:
    mesh.apply("""
apiVersion: v1
kind: Service
metadata: {name: both, namespace: shop}
spec: {selector: {also: both}, ports: [{name: http, port: 80, targetPort: http}]}
""")
    waypoint(mesh, "apply", "-n", "shop", "--service-account", "baker")
    urls = ["http://both.shop/"] * 20
    said = mesh.exec(CLIENT, "curl", "-sS", "-H", "Connection: close", *urls)
    words = said.replace("}\n{", "}\n---\n{").split("---")
    by = [str(json.loads(one)["pod"]).partition("-")[0] for one in words]

    assert set(by) == {"bread", "cake"}
    wait_until(
        "a line for each request to bread",
        lambda: passed(mesh, "baker-waypoint") == by.count("bread"),
    )
    found = json.loads(mesh.must("get", "service", "shop/both", "-o", "json"))
    kinds = [one["type"] for one in found["status"]["conditions"]]
    assert kinds == ["sluice.dev/WaypointByAccount"]

    waypoint(mesh, "delete", "-n", "shop", "--service-account", "baker")
    mesh.must("delete", "service", "shop/both")


def test_a_gateway_that_cannot_be_served_is_not_waited_for_and_says_why(mesh: Lab) -> None:
    mesh.apply(WAYPOINT.replace("NAME", "gate").replace("CLASS", "sluice"))
    mesh.apply(WAYPOINT.replace("NAME", "other").replace("CLASS", "nobodys"))

    found = json.loads(mesh.must("get", "gateway", "shop/gate", "-o", "json"))
    accepted = found["status"]["conditions"][0]
    assert (accepted["type"], accepted["status"]) == ("Accepted", "False")
    assert "later" in accepted["message"]
    other = json.loads(mesh.must("get", "gateway", "shop/other", "-o", "json"))
    assert "status" not in other
    mesh.must("delete", "gateway", "shop/gate", "shop/other")


def test_what_is_somebody_elses_is_not_taken_over(mesh: Lab) -> None:
    mine = """
apiVersion: v1
kind: Service
metadata: {name: mine, namespace: shop}
spec: {selector: {app: bread}, ports: [{name: http, port: 80, targetPort: http}]}
"""
    mesh.apply(mine)
    mesh.apply(WAYPOINT.replace("NAME", "mine").replace("CLASS", "sluice-waypoint"))

    service = json.loads(mesh.must("get", "service", "shop/mine", "-o", "json"))
    assert service["spec"]["selector"] == {"app": "bread"}
    found = json.loads(mesh.must("get", "gateway", "shop/mine", "-o", "json"))
    assert "Service shop/mine" in found["status"]["conditions"][1]["message"]
    mesh.must("delete", "gateway", "shop/mine")
    assert mesh.run("get", "service", "shop/mine").returncode == 0
    mesh.must("delete", "service", "shop/mine")


def test_the_control_plane_comes_back_to_what_it_has_made(mesh: Lab) -> None:
    waypoint(mesh, "apply", "-n", "shop", "--gateway", "again")
    before = pods(mesh, "again")
    os.kill(mesh.component("control"), signal.SIGKILL)
    wait_until("another control plane", lambda: mesh.component("control") != 0)
    mesh.apply(SHOP)

    assert pods(mesh, "again") == before
    waypoint(mesh, "delete", "again", "-n", "shop")
    assert pods(mesh, "again") == []
