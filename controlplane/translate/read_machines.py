"""WorkloadEntries, and endpoints that stand in a ServiceEntry: each by itself."""

import re
from collections.abc import Mapping
from sys import intern
from typing import Final

from controlplane.translate.entry_facts import MachineFacts, PlaceFacts
from controlplane.translate.read_pods import canonical_name, canonical_revision, tunnel_of
from controlplane.translate.route_fields import number_at
from controlplane.translate.settings import Settings
from mesh.model.address import AddressInvalidError, Ip, parse_ip
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.workload import NO_LOCALITY, Locality, Workload, WorkloadType

UNIX: Final = "unix:"
MAX_HOST_OCTETS: Final = 253
REGISTRATION: Final = "istio.io/autoRegistrationGroup"

_HOST: Final = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
                          r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?")  # fmt: skip
_MAX_WEIGHT: Final = 2**31 - 1


def is_host(text: str) -> bool:
    """Whether a text can be a host's name: no wildcard."""
    return len(text) <= MAX_HOST_OCTETS and _HOST.fullmatch(text) is not None


def read_machine(found: KubernetesObject, settings: Settings) -> MachineFacts:
    """A WorkloadEntry.

    Raises:
        FieldInvalidError: a wrong type, port or address, or neither address nor network.
    """
    spec = found.at("spec")
    place = read_place(spec)
    if place.text.startswith(UNIX):
        raise spec.invalid("address", "a socket of Unix cannot be reached by others: write another")
    labels = {**found.labels, **place.labels}
    workload = outside_workload(found, settings, labels, found.annotations.get(REGISTRATION, ""))
    return MachineFacts(key=found.key, labels=labels, place=place, workload=workload)


def outside_workload(
    found: KubernetesObject, settings: Settings, labels: Mapping[str, str], called: str = ""
) -> Workload:
    """What an object says of the workloads that it brings, without where they are.

    Args:
        found: the object; its name is theirs.
        settings: the mesh's names.
        labels: that count.
        called: the name of their group; empty: the object's.
    """
    workload_name = called or found.key.name
    protocol, is_native = tunnel_of(labels, found.annotations)
    return Workload(
        uid="",
        name=found.key.name,
        namespace=intern(found.key.namespace),
        protocol=protocol,
        native_tunnel=is_native,
        trust_domain=settings.trust_domain,
        cluster_id=settings.cluster_id,
        canonical_name=intern(canonical_name(labels, workload_name)),
        canonical_revision=intern(canonical_revision(labels)),
        workload_type=WorkloadType.POD,
        workload_name=intern(workload_name),
        services={},
    )


def read_place(part: Part) -> PlaceFacts:
    """Where something is; a Unix socket is let through, for the caller to say what of it.

    Raises:
        FieldInvalidError: a wrong type, port or address, or neither address nor network.
    """
    text, network = part.text("address"), part.text("network")
    addresses, hostname = _address(part, text)
    if not text and not network:
        mend = "must be an address or a name, unless there is a network whose gateway leads there"
        raise part.invalid("address", mend)
    ports = part.at("ports")
    return PlaceFacts(
        text=text,
        addresses=addresses,
        hostname=hostname,
        network=network,
        account=part.text("serviceAccount"),
        locality=_locality(part.text("locality")),
        capacity=number_at(part, "weight", 0, _MAX_WEIGHT) or 1,
        ports={name: number_at(ports, name, 1, 65_535) for name in ports.body},
        labels=part.strings("labels"),
    )


def _address(part: Part, text: str) -> tuple[tuple[Ip, ...], str]:
    if not text or text.startswith(UNIX):
        return (), ""
    try:
        return (parse_ip(text),), ""
    except AddressInvalidError:
        if is_host(text) and not text.rstrip(".").rpartition(".")[2].isdecimal():
            return (), text
    raise part.invalid("address", f"{text!r:.60} is neither an address nor a host's name")


def _locality(text: str) -> Locality:
    if not text:
        return NO_LOCALITY
    region, zone, subzone, *_ = (*text.split("/", 2), "", "")
    return Locality(intern(region), intern(zone), intern(subzone))
