"""What is known of a pod that runs, and its status as the API server would show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import trio

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from sluice.lab.addresses import Pair, node_address
from sluice.lab.spawn import Running


@dataclass(slots=True)
class ContainerRun:
    """One container of a pod."""

    name: str
    image: str
    running: Running | None = None
    is_ready: bool = False
    restarts: int = 0
    exit_code: int | None = None
    waits_for: str = "to be started"
    began: str = ""

    def status(self) -> dict[str, Json]:
        """Its entry in the pod's `containerStatuses`."""
        return {
            "name": self.name,
            "image": self.image,
            "ready": self.is_ready,
            "started": self.running is not None,
            "restartCount": self.restarts,
            "state": self._state(),
        }

    def _state(self) -> dict[str, Json]:
        if self.running is not None:
            return {"running": {"startedAt": self.began}}
        if self.waits_for:
            reason = "CrashLoopBackOff" if self.restarts else "ContainerCreating"
            return {"waiting": {"reason": reason, "message": self.waits_for}}
        reason = "Completed" if self.exit_code == 0 else "Error"
        return {"terminated": {"exitCode": self.exit_code, "reason": reason}}


@dataclass(slots=True, kw_only=True)
class PodRun:
    """One pod on a node."""

    key: ObjectKey
    uid: str
    node: str
    place: str
    is_on_node: bool
    """Whether it has no namespace of its own (`hostNetwork`)."""
    grace_s: float
    address: Pair | None = None
    is_placed: bool = False
    """Whether its network is complete."""
    is_attached: bool = False
    """Whether a plugin may know it."""
    waits_for: str = "its node"
    began: str = ""
    containers: dict[str, ContainerRun] = field(default_factory=dict)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def link(self) -> str:
        """The node's end of its cable; at most 15 octets."""
        return f"pod{self.uid.replace('-', '')[:11]}"

    @property
    def is_ready(self) -> bool:
        """Whether every container is."""
        return self.is_placed and all(each.is_ready for each in self.containers.values())

    @property
    def phase(self) -> str:
        """The pod's phase."""
        runs = list(self.containers.values())
        if not self.is_placed:
            return "Pending"
        if runs and all(each.running is None and not each.waits_for for each in runs):
            return "Failed" if any(each.exit_code for each in runs) else "Succeeded"
        has_begun = any(each.running is not None or each.restarts for each in runs)
        return "Running" if has_begun else "Pending"

    def waiting(self) -> str:
        """What it waits for, in words; empty when it is ready."""
        if not self.is_placed:
            return self.waits_for
        parts = (f"{c.name}: {c.waits_for}" for c in self.containers.values() if c.waits_for)
        return "; ".join(parts)


def status_of(run: PodRun, old: KubernetesObject, now: str) -> dict[str, Json]:
    """A pod's whole status.

    Args:
        run: what is known.
        old: the pod as stored: a condition that does not change keeps its time.
        now: the time for those that do.
    """
    host = node_address(run.node)
    status: dict[str, Json] = {
        "phase": run.phase,
        "hostIP": host.v4,
        "hostIPs": [{"ip": host.v4}, {"ip": host.v6}],
        "startTime": run.began,
        "conditions": _conditions(run, old, now),
        "containerStatuses": [each.status() for each in run.containers.values()],
    }
    if run.address is not None:
        status["podIP"] = run.address.v4
        status["podIPs"] = [{"ip": run.address.v4}, {"ip": run.address.v6}]
    return status


def _conditions(run: PodRun, old: KubernetesObject, now: str) -> list[Json]:
    before = {
        str(each.get("type")): each
        for each in old.at("status").items("conditions")
        if isinstance(each, dict)
    }
    truths = {
        "PodScheduled": True,
        "PodReadyToStartContainers": run.is_placed,
        "Initialized": run.is_placed,
        "ContainersReady": run.is_ready,
        "Ready": run.is_ready,
    }
    return [_condition(name, is_true, before, now) for name, is_true in truths.items()]


def _condition(
    name: str,
    is_true: bool,  # noqa: FBT001 - a row of the table above
    before: Mapping[str, Mapping[str, Json]],
    now: str,
) -> Json:
    status = "True" if is_true else "False"
    last = before.get(name, {})
    changed = last.get("lastTransitionTime", now) if last.get("status") == status else now
    return {"type": name, "status": status, "lastTransitionTime": changed}
