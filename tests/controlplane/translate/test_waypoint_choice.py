"""Which waypoint traffic takes: before one is ready, for accounts, with a canary."""

import pytest

from controlplane.translate.settings import Settings
from controlplane.translate.translation import Translation
from controlplane.translate.world import Translator
from mesh.model.address import parse_ip
from mesh.model.kubernetes import ObjectKey
from mesh.model.workload import GatewayAddress, NamespacedHostname, NetworkAddress
from mesh.runtime.manifests import parse

NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/use-waypoint: way}}
---
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}
---
"""
WEB, WEB_SERVICE = "Kubernetes//Pod/shop/web-{}", "shop/web.shop.svc.cluster.local"


def pod(account: str, labels: str = "") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: web-{account}, namespace: shop, labels: {{app: web{labels}}}}}
spec: {{serviceAccountName: {account}}}
status: {{podIPs: [{{ip: 10.0.0.{sum(account.encode()) % 200}}}]}}
---
"""


def gateway(
    name: str, ip: str = "", account: str = "", traffic: str = "", listener: str = "HBONE"
) -> str:
    labels = f"labels: {{istio.io/waypoint-for: {traffic}}}," if traffic else ""
    notes = f"annotations: {{istio.io/for-service-account: {account}}}," if account else ""
    status = f"status: {{addresses: [{{value: {ip}}}]}}" if ip else ""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop, {labels} {notes}}}
spec:
  gatewayClassName: sluice-waypoint
  listeners: [{{name: m, port: 15008, protocol: {listener}}}]
{status}
---
"""


def translate(*texts: str, goes_direct: bool = False, auto: bool = False) -> Translation:
    found, problems = parse("".join(texts), "test")
    assert problems == []
    settings = Settings(goes_direct=goes_direct, auto_waypoint=auto)
    return Translator(settings).update({one.key: one for one in found})


def at(ip: str) -> GatewayAddress:
    return GatewayAddress(NetworkAddress("", parse_ip(ip)), 15008)


def named(name: str) -> GatewayAddress:
    return GatewayAddress(NamespacedHostname("shop", f"{name}.shop.svc.cluster.local"), 15008)


def bound(translation: Translation) -> tuple[str, str]:
    match translation.statuses[ObjectKey("Service", "shop", "web")]:
        case {"conditions": [{"status": str(status), "reason": str(reason)}]}:
            return status, reason
        case other:
            pytest.fail(f"no single condition: {other}")


def of_service(translation: Translation) -> GatewayAddress | None:
    return translation.services[WEB_SERVICE].waypoint


def of_pod(translation: Translation, account: str) -> GatewayAddress | None:
    return translation.workloads[WEB.format(account)].waypoint


# Not ready.


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("", "WaypointIsNotReady"),
        (gateway("way"), "WaypointIsNotReady"),
        (gateway("way", "10.96.0.9", listener="HTTP"), "NotAWaypoint"),
    ],
)
def test_who_asks_for_a_waypoint_that_is_not_there_never_goes_past_it(
    manifest: str, reason: str
) -> None:
    closed = translate(NAMESPACE, SERVICE, manifest)
    direct = translate(NAMESPACE, SERVICE, manifest, goes_direct=True)

    assert of_service(closed) == named("way")
    assert of_service(direct) is None
    assert bound(closed) == bound(direct) == ("False", reason)
    key = ObjectKey("Service", "shop", "web")
    assert "connections are refused" in closed.problems[key][0]
    assert "connections go direct" in direct.problems[key][0]


def test_a_waypoint_that_is_ready_is_named_as_it_was_before() -> None:
    status = "status: {addresses: [{type: Hostname, value: way.shop.svc.cluster.local}]}\n---\n"
    ready = gateway("way").removesuffix("---\n") + status

    assert of_service(translate(NAMESPACE, SERVICE, ready)) == named("way")


def test_traffic_that_a_waypoint_is_not_for_does_not_wait_for_it() -> None:
    waiting = translate(NAMESPACE, pod("a"), gateway("way"))
    absent = translate(NAMESPACE, pod("a"))
    asking = translate(NAMESPACE, pod("a", ", istio.io/use-waypoint: way"))

    assert of_pod(waiting, "a") is None  # it will be for services
    assert of_pod(absent, "a") is None
    assert of_pod(asking, "a") == named("way")  # its own wish, whatever that will be for


# Accounts.


def test_the_workloads_of_an_account_go_by_its_waypoint() -> None:
    translation = translate(pod("a"), pod("b"), SERVICE, gateway("for-a", "10.96.0.9", account="a"))

    assert of_pod(translation, "a") == at("10.96.0.9")
    assert of_pod(translation, "b") is None
    assert of_service(translation) is None  # its endpoints run as two accounts


def test_a_service_of_one_account_goes_by_its_waypoint() -> None:
    translation = translate(pod("a"), SERVICE, gateway("for-a", "10.96.0.9", account="a"))

    assert of_service(translation) == at("10.96.0.9")
    assert bound(translation) == ("True", "WaypointAccepted")


def test_an_own_label_beats_the_account_and_the_account_beats_the_namespace() -> None:
    gateways = [
        gateway("way", "10.96.0.7", traffic="all"),
        gateway("other", "10.96.0.8", traffic="all"),
        gateway("for-a", "10.96.0.9", account="a"),
    ]
    label = ", istio.io/use-waypoint: other"
    own = SERVICE.replace("namespace: shop}", f"namespace: shop, labels: {{x: y{label}}}}}", 1)
    none = own.replace("use-waypoint: other", "use-waypoint: none")
    by_account = translate(NAMESPACE, pod("a"), SERVICE, *gateways)
    by_label = translate(NAMESPACE, pod("a", label), own, *gateways)
    by_namespace = translate(NAMESPACE, pod("b"), SERVICE, *gateways)

    assert (of_pod(by_account, "a"), of_service(by_account)) == (at("10.96.0.9"),) * 2
    assert (of_pod(by_label, "a"), of_service(by_label)) == (at("10.96.0.8"),) * 2
    assert (of_pod(by_namespace, "b"), of_service(by_namespace)) == (at("10.96.0.7"),) * 2
    assert of_service(translate(NAMESPACE, pod("a"), none, *gateways)) is None


def test_an_accounts_waypoint_may_be_for_one_kind_of_traffic_only() -> None:
    one = gateway("for-a", "10.96.0.9", account="a", traffic="workload")
    translation = translate(pod("a"), SERVICE, one)

    assert of_pod(translation, "a") == at("10.96.0.9")
    assert of_service(translation) is None


def test_an_accounts_waypoint_that_is_not_ready_is_waited_for() -> None:
    translation = translate(pod("a"), SERVICE, gateway("for-a", account="a"))

    assert of_pod(translation, "a") == of_service(translation) == named("for-a")


def test_a_service_of_several_accounts_chooses_by_the_account_of_the_endpoint() -> None:
    translation = translate(pod("a"), pod("b"), SERVICE, gateway("for-a", "10.96.0.9", account="a"))

    assert translation.services[WEB_SERVICE].chooses_by_account
    assert translation.workloads[WEB.format("a")].account_waypoint == at("10.96.0.9")
    assert translation.workloads[WEB.format("b")].account_waypoint is None
    status = str(translation.statuses[ObjectKey("Service", "shop", "web")])
    assert "sluice.dev/WaypointByAccount" in status
    assert "not ours" in status


@pytest.mark.parametrize("name", ["none", "way"])
def test_a_service_with_a_label_of_its_own_does_not_choose_by_account(name: str) -> None:
    labelled = SERVICE.replace(
        "namespace: shop}", f"namespace: shop, labels: {{istio.io/use-waypoint: {name}}}}}"
    )
    gateways = gateway("for-a", "10.96.0.9", account="a"), gateway("way", "10.96.0.7")
    translation = translate(pod("a"), pod("b"), labelled, *gateways)

    assert not translation.services[WEB_SERVICE].chooses_by_account


def test_a_service_of_one_account_does_not_choose() -> None:
    one = gateway("for-a", "10.96.0.9", account="a")

    assert not translate(pod("a"), SERVICE, one).services[WEB_SERVICE].chooses_by_account


# Canaries.

CANARY = SERVICE.replace(
    "namespace: shop}",
    "namespace: shop, labels: {istio.io/use-waypoint: way, istio.io/use-waypoint-canary: new},"
    ' annotations: {istio.io/use-waypoint-canary-weight: "WEIGHT"}}',
)
BOTH = gateway("way", "10.96.0.7"), gateway("new", "10.96.0.8")


def shares(translation: Translation) -> list[tuple[GatewayAddress, int]]:
    service = translation.services[WEB_SERVICE]
    return [(one.destination, one.weight) for one in service.weighted_waypoints]


def test_a_canary_gets_its_share() -> None:
    translation = translate(CANARY.replace("WEIGHT", "20"), *BOTH)

    assert shares(translation) == [(at("10.96.0.7"), 80), (at("10.96.0.8"), 20)]
    assert bound(translation) == ("True", "WaypointAccepted")


@pytest.mark.parametrize("weight", ["", "101", "-1", "half"])
def test_a_canary_without_a_good_weight_gets_nothing(weight: str) -> None:
    translation = translate(CANARY.replace("WEIGHT", weight), *BOTH)

    assert shares(translation) == []
    assert of_service(translation) == at("10.96.0.7")
    assert bound(translation) == ("True", "WaypointAccepted")
    assert "canary" in str(translation.statuses[ObjectKey("Service", "shop", "web")])


def test_a_canary_that_is_not_there_leaves_everything_to_the_first() -> None:
    translation = translate(CANARY.replace("WEIGHT", "20"), BOTH[0])

    assert shares(translation) == []
    assert bound(translation) == ("True", "WaypointAccepted")


def test_the_namespaces_canary_counts_only_beside_the_namespaces_waypoint() -> None:
    namespace = """
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio.io/use-waypoint: way, istio.io/use-waypoint-canary: new}
  annotations: {istio.io/use-waypoint-canary-weight: "30"}
---
"""
    own = SERVICE.replace(
        "namespace: shop}", "namespace: shop, labels: {istio.io/use-waypoint: way}}"
    )

    assert [share for _, share in shares(translate(namespace, SERVICE, *BOTH))] == [70, 30]
    assert shares(translate(namespace, own, *BOTH)) == []


# Waypoints that nobody has asked for.

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
"""
AUTO = ObjectKey("Gateway", "shop", "waypoint")


def test_a_service_with_a_route_gets_a_waypoint_where_that_is_wanted() -> None:
    asked = translate(SERVICE, ROUTE, auto=True)

    assert asked.objects[AUTO].get("spec", "gatewayClassName") == "sluice-waypoint"
    assert of_service(asked) == named("waypoint")
    assert AUTO not in translate(SERVICE, ROUTE).objects
    assert AUTO not in translate(SERVICE, auto=True).objects


def test_a_waypoint_that_was_made_so_stays_as_long_as_it_is_needed() -> None:
    there = gateway("waypoint", "10.96.0.9").replace(
        "name: waypoint,",
        "name: waypoint, labels: {gateway.istio.io/managed: sluice.dev-gateway-controller},",
    )
    translation = translate(SERVICE, ROUTE, there, auto=True)

    assert AUTO in translation.objects
    assert of_service(translation) == at("10.96.0.9")
    assert AUTO not in translate(SERVICE, there, auto=True).objects


def test_a_users_gateway_of_that_name_is_used_and_not_made() -> None:
    translation = translate(SERVICE, ROUTE, gateway("waypoint", "10.96.0.9"), auto=True)

    assert AUTO not in translation.objects
    assert of_service(translation) == at("10.96.0.9")


@pytest.mark.parametrize("name", ["none", "way"])
def test_who_has_decided_gets_none_unasked(name: str) -> None:
    namespace = NAMESPACE.replace("use-waypoint: way", f"use-waypoint: {name}")

    assert AUTO not in translate(namespace, SERVICE, ROUTE, auto=True).objects
