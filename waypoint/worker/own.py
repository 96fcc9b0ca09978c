"""Which workload this waypoint's pod is."""

from mesh.errors import MeshError
from mesh.model.address import Ip, parse_ip
from mesh.model.workload import Workload
from mesh.state.world import World
from waypoint.config import Config


class OwnWorkload:
    """Finds the pod's workload in the state; until it is there, the settings have to do."""

    def __init__(self, world: World, config: Config) -> None:
        """`world` is the worker's own state."""
        self._world = world
        self._config = config
        self._uid = ""
        self._stand_in = Workload(
            uid="",
            name=config.pod_name,
            namespace=config.pod_namespace,
            addresses=_addresses(config.instance_ip),
            network=config.network,
            trust_domain=config.trust_domain,
            service_account=config.service_account,
            node=config.node_name,
            workload_name=config.gateway,
            canonical_name=config.gateway,
            cluster_id=config.cluster_id,
            services={},
        )

    def now(self) -> Workload:
        """The workload as of this moment."""
        config = self._config
        workload = self._world.workload(self._uid) if self._uid else None
        if workload is None:
            workload = self._world.pod(
                config.pod_namespace, config.pod_name, config.service_account
            )
            self._uid = workload.uid if workload else ""
        return workload or self._stand_in


def _addresses(text: str) -> tuple[Ip, ...]:
    try:
        return (parse_ip(text),) if text else ()
    except MeshError:
        return ()
