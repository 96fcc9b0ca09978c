"""The next step for every state that a pod can be in."""

from dataclasses import replace
from itertools import product

import pytest

from cni.eligibility import Eligibility
from cni.plan import Step, Wanted, next_step
from cni.pods import Phase, Pod
from mesh.redirection.rules import Capture
from tests.cni.objects import made

POD = Pod(
    uid="u",
    namespace="shop",
    name="front",
    account="web",
    container="c",
    netns="/run/netns/x",
    netns_id=(1, 2),
    earlier={},
)
EXPECTED = {
    (Phase.FREE, True): Step.ENROL,
    (Phase.FREE, False): Step.NOTHING,
    (Phase.ENROLLED, True): Step.NOTHING,
    (Phase.ENROLLED, False): Step.RELEASE,
    (Phase.RELEASING, True): Step.ENROL,
    (Phase.RELEASING, False): Step.RELEASE,
}


def wanted(*, enrol: bool, uid: str = "u", phase: str = "Running") -> Wanted:
    listed = made("Pod", "shop", "front", metadata={"uid": uid}, status={"phase": phase})
    return Wanted(listed, Eligibility(enrol=enrol, because="so"), Capture())


@pytest.mark.parametrize(("phase", "enrol"), list(product(Phase, (True, False))))
def test_a_pod_goes_where_its_labels_say(phase: Phase, enrol: bool) -> None:
    step = next_step(replace(POD, phase=phase), wanted(enrol=enrol), is_complete=True)

    assert step is EXPECTED[phase, enrol]


@pytest.mark.parametrize("phase", Phase)
def test_a_pod_without_an_object_has_gone_if_all_objects_are_known(phase: Phase) -> None:
    pod = replace(POD, phase=phase)

    assert next_step(pod, None, is_complete=True) is Step.FORGET
    assert next_step(pod, None, is_complete=False) is Step.NOTHING


@pytest.mark.parametrize("phase", Phase)
def test_a_namesake_or_an_ended_pod_has_gone(phase: Phase) -> None:
    pod = replace(POD, phase=phase)

    assert next_step(pod, wanted(enrol=True, uid="other"), is_complete=True) is Step.FORGET
    assert next_step(pod, wanted(enrol=True, phase="Failed"), is_complete=True) is Step.FORGET


def test_what_was_left_half_done_is_done_again() -> None:
    enrolled = replace(POD, phase=Phase.ENROLLED)

    uncounted = replace(enrolled, earlier=None)
    otherwise = replace(enrolled, capture=Capture(inbound=False))

    assert next_step(uncounted, wanted(enrol=True), is_complete=True) is Step.ENROL
    assert next_step(otherwise, wanted(enrol=True), is_complete=True) is Step.ENROL
