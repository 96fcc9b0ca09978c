"""What is to be done about a pod that the agent knows: a decider."""

from dataclasses import dataclass
from enum import Enum

from cni.eligibility import ENDED_PHASES, Eligibility
from cni.pods import Phase, Pod
from mesh.model.kubernetes import KubernetesObject
from mesh.redirection.rules import Capture


class Step(Enum):
    """One thing to do."""

    NOTHING = "nothing"
    ENROL = "enrol"
    RELEASE = "release"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pod's object, and its namespace's, ask for."""

    listed: KubernetesObject
    eligibility: Eligibility
    capture: Capture


def next_step(pod: Pod, wanted: Wanted | None, *, is_complete: bool) -> Step:
    """Decide.

    Args:
        pod: as it is.
        wanted: by its object; None when there is none.
        is_complete: whether all objects could be read. A pod that is missing from a part of them
            has not gone: somebody may just be mending a file.
    """
    if wanted is None:
        return Step.FORGET if is_complete else Step.NOTHING
    listed = wanted.listed
    if listed.uid != pod.object_uid or listed.get("status", "phase") in ENDED_PHASES:
        return Step.FORGET
    if not wanted.eligibility.enrol:
        return Step.NOTHING if pod.phase is Phase.FREE else Step.RELEASE
    if pod.phase is Phase.ENROLLED and pod.capture == wanted.capture and pod.earlier is not None:
        return Step.NOTHING
    return Step.ENROL
