"""Who is to be in the mesh, and what of their traffic."""

from collections.abc import Mapping

import pytest

from cni.eligibility import capture_of, judge
from mesh.model.fields import FieldInvalidError, Json
from mesh.redirection.rules import Capture
from tests.cni.objects import made

MODE = "istio.io/dataplane-mode"
AMBIENT = {MODE: "ambient"}


@pytest.mark.parametrize(
    ("pod_labels", "namespace_labels", "expected"),
    [
        ({}, {}, False),
        ({}, AMBIENT, True),
        (AMBIENT, {}, True),
        ({MODE: "none"}, AMBIENT, False),
        ({MODE: "none"}, {}, False),
        ({MODE: "sidecar"}, AMBIENT, True),
        ({}, {MODE: "none"}, False),
    ],
)
def test_a_pod_s_label_beats_its_namespace_s(
    pod_labels: Mapping[str, Json], namespace_labels: Mapping[str, str], expected: bool
) -> None:
    pod = made("Pod", "shop", "a", metadata={"labels": dict(pod_labels)})

    found = judge(pod, namespace_labels, excluded=(), proxy_namespace="istio-system")

    assert found.enrol is expected
    assert found.because


@pytest.mark.parametrize(
    ("namespace", "parts", "because"),
    [
        ("kube-system", {}, "excluded"),
        ("shop", {"spec": {"hostNetwork": True}}, "network of its own"),
        ("shop", {"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}}, "sidecar"),
        ("istio-system", {"metadata": {"labels": {"app": "ztunnel", **AMBIENT}}}, "node proxy"),
        ("shop", {"status": {"phase": "Succeeded"}}, "ended"),
    ],
)
def test_some_pods_are_never_enrolled(
    namespace: str, parts: dict[str, dict[str, Json]], because: str
) -> None:
    pod = made("Pod", namespace, "a", **parts)

    found = judge(pod, AMBIENT, excluded=["kube-system"], proxy_namespace="istio-system")

    assert not found.enrol
    assert because in found.because


@pytest.mark.parametrize(
    ("annotations", "capture"),
    [
        ({}, Capture()),
        ({"ambient.istio.io/bypass-inbound-capture": "true"}, Capture(inbound=False)),
        ({"ambient.istio.io/bypass-inbound-capture": "False"}, Capture()),
        (
            {"istio.io/reroute-virtual-interfaces": "net1, tap+"},
            Capture(virtual_links=("net1", "tap+")),
        ),
        ({"ambient.istio.io/dns-capture": "true"}, Capture(dns=True)),
    ],
)
def test_annotations_say_what_is_captured(
    annotations: Mapping[str, Json], capture: Capture
) -> None:
    assert capture_of(made("Pod", "a", "b", metadata={"annotations": dict(annotations)})) == capture


@pytest.mark.parametrize(
    "annotations",
    [
        {"ambient.istio.io/bypass-inbound-capture": "yes"},
        {"ambient.istio.io/dns-capture": "off"},
        {"istio.io/reroute-virtual-interfaces": "net1 -j ACCEPT"},
        {"istio.io/reroute-virtual-interfaces": "net1\n-A OUTPUT -j ACCEPT"},
        {"istio.io/reroute-virtual-interfaces": "a-name-that-is-too-long"},
    ],
)
def test_an_annotation_that_cannot_be_understood_is_named(annotations: dict[str, Json]) -> None:
    pod = made("Pod", "shop", "front", metadata={"annotations": annotations})

    with pytest.raises(FieldInvalidError, match=r"Pod shop/front: metadata\.annotations"):
        capture_of(pod)


def test_a_pod_may_keep_its_dns_queries_out_where_those_of_others_are_captured() -> None:
    out = {"annotations": {"ambient.istio.io/dns-capture": "false"}}
    assert capture_of(made("Pod", "a", "b"), dns=True) == Capture(dns=True)
    assert capture_of(made("Pod", "a", "b", metadata=out), dns=True) == Capture()
