"""Which names the cluster has, and what they mean: services, headless services, pods."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.objects import Objects, pod_ips
from sluice.lab.service_addresses import cluster_ips, is_headless
from sluice.lab.slices import SERVICE_LABEL

DOMAIN: Final = "cluster.local"


@dataclass(slots=True)
class Answer:
    """What a name means."""

    ips: list[str] = field(default_factory=list)
    ports: list[tuple[int, str]] = field(default_factory=list)
    """Of a service's port: numbers, each with the name of who serves it (SRV)."""
    alias: str = ""
    """Another name (CNAME)."""


class Zone:
    """Every name of the cluster at one time, without the dot at its end."""

    def __init__(self, objects: Objects) -> None:
        self._names: dict[str, Answer] = {}
        self._above: set[str] = set()
        for service in objects.of("Service"):
            self._add_service(service, objects)
        for pod in objects.of("Pod"):
            for ip in pod_ips(pod):
                self._at(f"{_dashed(ip)}.{pod.key.namespace}.pod.{DOMAIN}").ips.append(ip)

    def find(self, name: str) -> Answer | None:
        """What a name means; None when there is no such name.

        A name that only has others below it means nothing, and is there nevertheless (RFC 8020).
        """
        lowered = name.lower()
        found = self._names.get(lowered)
        return Answer() if found is None and lowered in self._above else found

    def _at(self, name: str) -> Answer:
        above = name
        while "." in above:
            above = above.partition(".")[2]
            self._above.add(above)
        return self._names.setdefault(name, Answer())

    def _add_service(self, service: KubernetesObject, objects: Objects) -> None:
        name = f"{service.key.name}.{service.key.namespace}.svc.{DOMAIN}"
        spec = service.at("spec")
        if spec.text("type") == "ExternalName":
            self._at(name).alias = spec.text("externalName").rstrip(".")
        elif is_headless(service):
            self._at(name)
            for each in objects.of("EndpointSlice", service.key.namespace):
                if each.labels.get(SERVICE_LABEL) == service.key.name:
                    self._add_endpoints(name, each)
        else:
            self._at(name).ips.extend(cluster_ips(service))
            for port in spec.parts("ports"):
                self._add_port(name, port, name)

    def _add_endpoints(self, name: str, found: KubernetesObject) -> None:
        for endpoint in found.root.parts("endpoints"):
            if not endpoint.at("conditions").flag("ready", default=True):
                continue
            for ip in endpoint.texts("addresses"):
                own = f"{endpoint.text('hostname') or _dashed(ip)}.{name}"
                for each in (name, own):
                    self._at(each).ips.append(ip)
                for port in found.root.parts("ports"):
                    self._add_port(name, port, own)

    def _add_port(self, name: str, port: Part, target: str) -> None:
        if port.text("name"):
            protocol = port.text("protocol", "TCP").lower()
            entries = self._at(f"_{port.text('name')}._{protocol}.{name}").ports
            entry = port.number("port"), target
            if entry not in entries:
                entries.append(entry)

    def addresses(self, name: str) -> Iterator[str]:
        """The addresses behind a name, through its alias when it has one inside the cluster."""
        found = self.find(name)
        if found is not None:
            yield from found.ips or (self.find(found.alias) or Answer()).ips


def _dashed(ip: str) -> str:
    return ip.replace(".", "-").replace(":", "-")
