"""ServiceEntries, each by itself."""

from collections.abc import Mapping
from sys import intern
from typing import Final

from controlplane.translate.entry_facts import EntryFacts, PlaceFacts, Resolution
from controlplane.translate.facts import ServiceFacts, ServicePort
from controlplane.translate.labels import CANARY_WEIGHT
from controlplane.translate.read_machines import UNIX, is_host, outside_workload, read_place
from controlplane.translate.read_services import balancing_by_note, ip_at, port_at
from controlplane.translate.settings import Settings
from mesh.model.address import AddressInvalidError, Ip, parse_ip
from mesh.model.fields import FieldInvalidError, Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.workload import (
    NO_BALANCING,
    AppProtocol,
    BalanceMode,
    HealthPolicy,
    LoadBalancing,
    Port,
    Service,
    Visibility,
)

ALLOCATES: Final = "networking.istio.io/enable-autoallocate-ip"
MAX_HOSTS: Final = 256

_PASSING: Final = LoadBalancing(BalanceMode.PASSTHROUGH, (), HealthPolicy.ALLOW_ALL)
_SPEAKS: Final[Mapping[str, AppProtocol]] = {
    "http": AppProtocol.HTTP11,
    "http2": AppProtocol.HTTP2,
    "grpc": AppProtocol.GRPC,
    "https": AppProtocol.TLS,
    "tls": AppProtocol.TLS,
    "tcp": AppProtocol.TCP,
}
_LOCATIONS: Final = ("", "MESH_EXTERNAL", "MESH_INTERNAL")


def read_entry(found: KubernetesObject, settings: Settings) -> ServiceFacts:
    """A ServiceEntry.

    Raises:
        FieldInvalidError: a wrong type, host, port or address, or fields that exclude one another.
    """
    spec = found.at("spec")
    resolution = _resolution(spec)
    hosts, selector = _hosts(spec), spec.at("workloadSelector").strings("labels")
    places, problems = _places(spec, resolution, is_selecting=bool(selector))
    ports = [_port(part) for part in spec.parts("ports")]
    balancing, of_balancing = balancing_by_note(found)
    visibility, of_visibility = _visibility(spec, found.key.namespace)
    entry = EntryFacts(
        hosts=hosts,
        ranges=tuple(_range(spec, text) for text in spec.texts("addresses")),
        resolution=resolution,
        places=places,
        workload=outside_workload(found, settings, found.labels),
        created=found.created,
        is_by_name=resolution not in (Resolution.NONE, Resolution.STATIC)
        and not (selector or spec.items("endpoints")),
        wants_addresses=_wants_addresses(found, spec, resolution, hosts),
        kept=_kept(found),
    )
    service = Service(
        name=found.key.name,
        namespace=intern(found.key.namespace),
        hostname=hosts[0],
        ports=tuple(Port(port.number, port.target, speaks) for port, speaks in ports),
        subject_alt_names=tuple(spec.texts("subjectAltNames")),
        load_balancing=_PASSING if resolution is Resolution.NONE else NO_BALANCING,
        visibility=visibility,
    )
    return ServiceFacts(
        found.key,
        found.labels,
        selector,
        tuple(port for port, _ in ports),
        None,
        (),
        balancing,
        service,
        (*problems, *of_balancing, *of_visibility),
        found.annotations.get(CANARY_WEIGHT, ""),
        entry,
    )


def _resolution(spec: Part) -> Resolution:
    text, location = spec.text("resolution") or "NONE", spec.text("location")
    if location not in _LOCATIONS:
        raise spec.invalid("location", "must be MESH_EXTERNAL or MESH_INTERNAL")
    try:
        return Resolution(text)
    except ValueError:
        words = ", ".join(each.value for each in Resolution)
        raise spec.invalid("resolution", f"{text!r:.40} is none: write one of {words}") from None


def _hosts(spec: Part) -> tuple[str, ...]:
    texts = spec.texts("hosts")
    if not 1 <= len(texts) <= MAX_HOSTS:
        raise spec.invalid("hosts", f"must hold 1 to {MAX_HOSTS} names: add one")
    for index, text in enumerate(texts):
        if not is_host(text.removeprefix("*.")):
            mend = f"{text!r:.60} is no host's name, nor *. and one: write up to 253 octets"
            raise spec.invalid(f"hosts[{index}]", mend)
    return tuple(dict.fromkeys(texts))


def _port(part: Part) -> tuple[ServicePort, AppProtocol]:
    number, protocol = port_at(part, "number"), part.text("protocol")
    if not number:
        raise part.invalid("number", "must be a port: write a number from 1 to 65535")
    word = protocol.lower()
    carried = "UDP" if word == "udp" else "TCP"
    target = port_at(part, "targetPort") or number
    port = ServicePort(part.text("name"), carried, number, target, "", word)
    return port, _SPEAKS.get(word, AppProtocol.UNKNOWN)


def _range(spec: Part, text: str) -> tuple[Ip, int | None]:
    written, slash, length = text.partition("/")
    ip = ip_at(spec, "addresses", written)
    bits = len(ip) * 8
    if not slash:
        return ip, None
    if not (length.isascii() and length.isdecimal() and len(length) < 4 and int(length) <= bits):
        raise spec.invalid("addresses", f"{text!r:.60} is no range: write one such as 10.0.0.0/8")
    prefix = int(length)
    number = int.from_bytes(ip, "big") >> (bits - prefix) << (bits - prefix)
    return Ip(number.to_bytes(len(ip), "big")), None if prefix == bits else prefix


def _places(
    spec: Part, resolution: Resolution, *, is_selecting: bool
) -> tuple[tuple[PlaceFacts, ...], list[str]]:
    places, problems = [], []
    parts = spec.parts("endpoints")
    if parts and is_selecting:
        raise spec.invalid("endpoints", "excludes workloadSelector: take one of them away")
    if parts and resolution is Resolution.NONE:
        problem = "have no effect with resolution NONE: write STATIC, or take them away"
        return (), [f"{spec.field('endpoints')}: {problem}"]
    for part in parts:
        try:
            place = read_place(part)
        except FieldInvalidError as error:
            problems.append(f"{error.field}: {error.mend}; this endpoint is left out")
            continue
        if place.text.startswith(UNIX):
            problem = "a socket of Unix cannot be reached by others: this endpoint is left out"
            problems.append(f"{part.field('address')}: {problem}")
            continue
        places.append(place)
    return tuple(places), problems


def _visibility(spec: Part, namespace: str) -> tuple[Visibility, tuple[str, ...]]:
    names = set(spec.texts("exportTo"))
    if not names or "*" in names:
        return Visibility.PUBLIC, ()
    others = sorted(names - {".", namespace})
    if not others:
        return Visibility.NAMESPACE, ()
    mend = "only '.' and '*' can be told apart: it is seen in its own namespace alone"
    return Visibility.NAMESPACE, (f"{spec.field('exportTo')}: {', '.join(others)}: {mend}",)


# Addresses of our own choice.


def _wants_addresses(
    found: KubernetesObject, spec: Part, resolution: Resolution, hosts: tuple[str, ...]
) -> bool:
    if found.labels.get(ALLOCATES, "").lower() == "false" or spec.texts("addresses"):
        return False
    has_wildcard = any(host.startswith("*") for host in hosts)
    if resolution is Resolution.NONE:
        return False
    return resolution is Resolution.DYNAMIC_DNS or not has_wildcard


def _kept(found: KubernetesObject) -> tuple[tuple[str, Ip], ...]:
    """What its status says; whatever makes no sense there is passed over."""
    entries = found.get("status", "addresses")
    kept = []
    for each in entries if isinstance(entries, list) else ():
        host, value = (each.get("host"), each.get("value")) if isinstance(each, dict) else ("", "")
        if isinstance(host, str) and isinstance(value, str):
            try:
                kept.append((host, parse_ip(value)))
            except AddressInvalidError:
                continue
    return tuple(kept)
