"""How people write kinds."""

import pytest

from sluice.lab.errors import LabRefusedError
from sluice.lab.kinds import kind_of_word


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("pods", "Pod"),
        ("po", "Pod"),
        ("Pod", "Pod"),
        ("ns", "Namespace"),
        ("deployments.apps", "Deployment"),
        ("deployment.v1.apps", "Deployment"),
        ("svc", "Service"),
        ("serviceentries", "ServiceEntry"),
        ("se", "ServiceEntry"),
        ("workloadentry", "WorkloadEntry"),
        ("authorizationpolicies.security.istio.io", "AuthorizationPolicy"),
    ],
)
def test_every_spelling_of_kubectl_is_known(word: str, kind: str) -> None:
    assert kind_of_word(word).name == kind


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("listenersets", "comes with"),
        ("udproute", "comes with"),
        ("workloadgroups", "kind WorkloadGroup: registers machines"),
        ("vs", "kind VirtualService: is for sidecars"),
        ("sts", "kind StatefulSet: the lab runs Deployments"),
        ("pods.apps", "unknown"),
        ("x", "unknown"),
    ],
)
def test_a_kind_that_is_not_there_is_named(word: str, said: str) -> None:
    with pytest.raises(LabRefusedError, match=said):
        kind_of_word(word)
