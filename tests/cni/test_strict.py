"""Where plain text is refused, by the PeerAuthentications that there are."""

from collections.abc import Sequence

import pytest

from cni.strict import Strictness, strictness
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from tests.cni.objects import made

POD = made("Pod", "shop", "front", metadata={"labels": {"app": "front"}})
MINE: dict[str, Json] = {"matchLabels": {"app": "front"}}
OTHERS: dict[str, Json] = {"matchLabels": {"app": "stock"}}


def peer(
    namespace: str,
    mode: str | None,
    *,
    selector: dict[str, Json] | None = None,
    ports: dict[str, Json] | None = None,
    created: str = "2026-01-01T00:00:00Z",
) -> KubernetesObject:
    spec: dict[str, Json] = {} if mode is None else {"mtls": {"mode": mode}}
    if selector is not None:
        spec["selector"] = selector
    if ports is not None:
        spec["portLevelMtls"] = ports
    metadata: dict[str, Json] = {"creationTimestamp": created}
    return made("PeerAuthentication", namespace, f"p-{created}", metadata=metadata, spec=spec)


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        ([], False),
        ([peer("istio-system", "STRICT")], True),
        ([peer("other", "STRICT")], False),
        ([peer("istio-system", "STRICT"), peer("shop", "PERMISSIVE")], False),
        ([peer("istio-system", "STRICT"), peer("shop", "UNSET")], True),
        ([peer("istio-system", "STRICT"), peer("shop", None)], True),
        ([peer("istio-system", "STRICT"), peer("shop", "DISABLE")], False),
        ([peer("shop", "STRICT"), peer("shop", "PERMISSIVE", selector=MINE)], False),
        ([peer("shop", "STRICT", selector=OTHERS)], False),
        ([peer("istio-system", "STRICT", selector=MINE)], False),
        (
            [peer("shop", "PERMISSIVE", created="2026"), peer("shop", "STRICT", created="2025")],
            True,
        ),
        ([peer("shop", "STRICT", selector={})], True),
    ],
)
def test_the_nearest_and_oldest_decides(peers: Sequence[KubernetesObject], expected: bool) -> None:
    found = strictness(POD, peers, "istio-system")

    assert found.refuses(80) is expected
    assert found.is_any is expected


def test_only_the_workload_s_own_has_ports() -> None:
    ports: dict[str, Json] = {"81": {"mode": "PERMISSIVE"}, "82": {"mode": "UNSET"}, "x": {}}
    mine = peer("shop", "STRICT", selector=MINE, ports=ports)
    everyone_s = peer("shop", "PERMISSIVE", ports={"83": {"mode": "STRICT"}})

    found = strictness(POD, [mine, everyone_s], "istio-system")

    assert [found.refuses(port) for port in (80, 81, 82, 83)] == [True, False, True, True]


def test_one_port_is_enough_to_refuse_something() -> None:
    assert Strictness(ports={80: True}).is_any
    assert not Strictness(ports={80: False}).is_any
