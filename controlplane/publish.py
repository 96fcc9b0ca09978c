"""From the manifests to what is told: translated, and each resource encoded once for all."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controlplane.pods import PodReader, Pods
from controlplane.translate.built import Told
from controlplane.translate.settings import Settings
from controlplane.translate.translation import Changed, Translation
from controlplane.translate.world import Translator
from mesh.model.address import Ip, format_ip
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.policy import Authorization
from mesh.model.routes import Waypoint
from mesh.model.workload import Service, Workload
from mesh.runtime.manifests import Snapshot
from mesh.wire.configuration import CONFIGURATION_TYPE, configuration_to_bytes
from mesh.wire.discovery_catalogue import (
    ADDRESS_TYPE,
    AUTHORIZATION_TYPE,
    Published,
    Resource,
    make_resource,
    successor,
)
from mesh.wire.workload_api import address_resource, authorization_resource


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything that one state of the manifests means."""

    published: Published = field(default_factory=Published)
    pods: Pods = field(default_factory=Pods)
    problems: tuple[str, ...] = ()
    statuses: Mapping[ObjectKey, Mapping[str, Json]] = field(default_factory=dict)
    """Of `Translation`."""
    objects: Mapping[ObjectKey, KubernetesObject] = field(default_factory=dict)
    """Of `Translation`."""


class Publisher:
    """Remembers the last publication; used by one thread at a time, and blocks it."""

    def __init__(self, settings: Settings) -> None:
        """Know no manifests."""
        self._settings = settings
        self._translator: Translator | None = None
        self._pods = PodReader()
        self._last = Publication()

    def update(self, snapshot: Snapshot) -> Publication:
        """What this state of the manifests means.

        After a bug of the translation it begins anew: the next state is translated as a whole.
        """
        translator, self._translator = self._translator, None
        before = self._last.published.catalogues
        known = {name: catalogue.resources for name, catalogue in before.items()}
        if translator is None:
            translator, known = Translator(self._settings), {key: {} for key in before}
        translation = translator.update(snapshot.objects)
        addresses = _addresses(known[ADDRESS_TYPE], translation)
        policies = _policies(known[AUTHORIZATION_TYPE], translation)
        configuration = _configuration(known[CONFIGURATION_TYPE], translation)
        catalogues = {
            ADDRESS_TYPE: successor(before[ADDRESS_TYPE], addresses),
            AUTHORIZATION_TYPE: successor(before[AUTHORIZATION_TYPE], policies),
            CONFIGURATION_TYPE: successor(before[CONFIGURATION_TYPE], configuration),
        }
        self._last = Publication(
            Published(snapshot.generation, catalogues),
            replace(self._pods.update(snapshot.objects), waypoints=_waypoints(translation)),
            (*snapshot.problems, *translation.sentences),
            translation.statuses,
            translation.objects,
        )
        self._translator = translator
        return self._last


def _waypoints(translation: Translation) -> Mapping[str, str]:
    """As whom each waypoint of ours runs."""
    return {
        f"{told.value.namespace}/{told.value.name}": told.value.account
        for told in translation.configuration.values()
        if isinstance(told.value, Waypoint)
    }


def _addresses(before: Mapping[str, Resource], translation: Translation) -> Mapping[str, Resource]:
    changed: Changed = translation.changed
    if not (
        changed.put_workloads
        or changed.put_services
        or changed.removed_workloads
        or changed.removed_services
    ):
        return before
    resources = dict(before)
    for name in (*changed.removed_workloads, *changed.removed_services):
        resources.pop(name, None)
    for name in sorted(changed.put_workloads):
        resources[name] = workload_resource(translation.workloads[name])
    for name in sorted(changed.put_services):
        resources[name] = service_resource(translation.services[name])
    return resources


def _policies(before: Mapping[str, Resource], translation: Translation) -> Mapping[str, Resource]:
    changed = translation.changed
    if not (changed.put_policies or changed.removed_policies):
        return before
    resources = dict(before)
    for name in changed.removed_policies:
        resources.pop(name, None)
    for name in sorted(changed.put_policies):
        resources[name] = policy_resource(translation.policies[name])
    return resources


def _configuration(
    before: Mapping[str, Resource], translation: Translation
) -> Mapping[str, Resource]:
    changed = translation.changed
    if not (changed.put_configuration or changed.removed_configuration):
        return before
    resources = dict(before)
    for name in changed.removed_configuration:
        resources.pop(name, None)
    for name in sorted(changed.put_configuration):
        resources[name] = configuration_resource(translation.configuration[name])
    return resources


def configuration_resource(told: Told) -> Resource:
    """What some waypoints are told, under its name."""
    octets = configuration_to_bytes(told.value)
    made = make_resource(CONFIGURATION_TYPE, told.key, octets)
    return replace(made, waypoints=told.waypoints)


def workload_resource(workload: Workload) -> Resource:
    """A workload, under its uid and its addresses."""
    return make_resource(
        ADDRESS_TYPE,
        workload.uid,
        address_resource(workload),
        aliases=tuple(_alias(workload.network, ip) for ip in workload.addresses),
        node=workload.node,
        services=tuple(workload.services),
    )


def service_resource(service: Service) -> Resource:
    """A service, under `namespace/hostname` and its addresses."""
    return make_resource(
        ADDRESS_TYPE,
        service.key,
        address_resource(service),
        aliases=tuple(_alias(each.network, each.ip) for each in service.addresses),
    )


def policy_resource(policy: Authorization) -> Resource:
    """A policy, under `namespace/name`."""
    return make_resource(AUTHORIZATION_TYPE, policy.key, authorization_resource(policy))


def _alias(network: str, ip: Ip) -> str:
    return f"{network}/{format_ip(ip)}"
