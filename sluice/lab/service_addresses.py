"""Which addresses a service gets, and the defaults that an API server writes into it."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final

from mesh.model.fields import Json, Part
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.addresses import SERVICES_V4, SERVICES_V6, service_address
from sluice.lab.errors import LabRefusedError

HEADLESS: Final = "None"
_NETWORKS: Final = {"IPv4": ip_network(SERVICES_V4), "IPv6": ip_network(SERVICES_V6)}


def cluster_ips(service: KubernetesObject) -> list[str]:
    """A service's own addresses; none when it is headless or only a name."""
    return [ip for ip in service.at("spec").texts("clusterIPs") if ip and ip != HEADLESS]


def is_headless(service: KubernetesObject) -> bool:
    """Whether a service has names, and no address."""
    return service.at("spec").text("clusterIP") == HEADLESS


def with_addresses(
    document: KubernetesObject,
    old: KubernetesObject | None,
    others: Iterable[KubernetesObject],
) -> dict[str, Json]:
    """A service's spec as stored.

    Args:
        document: the manifest.
        old: what is stored of it, whose addresses stay.
        others: every service that is or will be there.

    Raises:
        LabRefusedError: an address that it asks for is taken or out of range, or none is left.
    """
    spec = document.at("spec")
    written: dict[str, Json] = {"type": "ClusterIP", **spec.body}
    if spec.text("type") == "ExternalName":
        return written
    written["ports"] = [_port(port) for port in spec.parts("ports")]
    families = _families(spec)
    written["ipFamilies"] = [*families]
    written.setdefault("ipFamilyPolicy", "SingleStack" if len(families) == 1 else "PreferDualStack")
    written |= {"sessionAffinity": "None", "internalTrafficPolicy": "Cluster", **_given(spec)}
    ips = _addresses(document, old, families, [each for each in others if each.key != document.key])
    written["clusterIP"], written["clusterIPs"] = ips[0], [*ips]
    return written


def _given(spec: Part) -> dict[str, Json]:
    names = ("sessionAffinity", "internalTrafficPolicy")
    return {name: spec.text(name) for name in names if spec.has(name)}


def _port(port: Part) -> Json:
    return {"protocol": "TCP", "targetPort": port.number("port"), **port.body}


def _families(spec: Part) -> list[str]:
    given = spec.texts("ipFamilies")
    if spec.text("ipFamilyPolicy") in ("PreferDualStack", "RequireDualStack") or len(given) == 2:
        first = given[0] if given else "IPv4"
        return [first, "IPv4" if first == "IPv6" else "IPv6"]
    asked = spec.text("clusterIP")
    return given or ["IPv6" if ":" in asked else "IPv4"]


def _addresses(
    document: KubernetesObject,
    old: KubernetesObject | None,
    families: list[str],
    others: list[KubernetesObject],
) -> list[str]:
    asked = _asked(document)
    if asked == [HEADLESS]:
        return asked
    taken = {ip for each in others for ip in cluster_ips(each)}
    for ip in asked:
        _check(document, ip, taken)
    kept = cluster_ips(old) if old is not None else []
    pair = service_address(taken)
    chosen: list[str] = []
    for family in families:
        fitting = [ip for ip in [*asked, *kept] if (":" in ip) == (family == "IPv6")]
        if not fitting and pair is not None:
            fitting = [pair.v6 if family == "IPv6" else pair.v4]
        if not fitting:
            raise LabRefusedError((f"{document.key}: all addresses for services are taken",))
        chosen.append(fitting[0])
    return chosen


def _asked(document: KubernetesObject) -> list[str]:
    spec = document.at("spec")
    return spec.texts("clusterIPs") or [ip for ip in [spec.text("clusterIP")] if ip]


def _check(document: KubernetesObject, ip: str, taken: set[str]) -> None:
    spec = document.at("spec")
    try:
        is_inside = any(ip_address(ip) in network for network in _NETWORKS.values())
    except ValueError:
        is_inside = False
    if not is_inside:
        mend = (
            f"{ip} is not an address in {SERVICES_V4} or {SERVICES_V6}: choose one, or leave it out"
        )
        raise spec.invalid("clusterIP", mend)
    if ip in taken:
        raise spec.invalid("clusterIP", f"{ip} is taken: choose another, or leave it out")
