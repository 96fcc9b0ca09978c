"""Where plain text is refused, by the PeerAuthentications that there are."""

from collections.abc import Sequence

import pytest

from mesh.model.fields import FieldInvalidError, Json
from mesh.model.kubernetes import KubernetesObject
from mesh.policy.peer_authentication import (
    PeerAuthentication,
    Strictness,
    read,
    strictness_of,
)

MINE: dict[str, Json] = {"matchLabels": {"app": "front"}}
OTHERS: dict[str, Json] = {"matchLabels": {"app": "stock"}}


def made(
    namespace: str, spec: dict[str, Json], created: str = "2026-01-01T00:00:00Z"
) -> KubernetesObject:
    return KubernetesObject.of(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {
                "name": f"p-{created}",
                "namespace": namespace,
                "creationTimestamp": created,
            },
            "spec": spec,
        }
    )


def peer(
    namespace: str,
    mode: str | None,
    *,
    selector: dict[str, Json] | None = None,
    ports: dict[str, Json] | None = None,
    created: str = "2026-01-01T00:00:00Z",
) -> PeerAuthentication:
    spec: dict[str, Json] = {} if mode is None else {"mtls": {"mode": mode}}
    if selector is not None:
        spec["selector"] = selector
    if ports is not None:
        spec["portLevelMtls"] = ports
    return read(made(namespace, spec, created))


def for_front(peers: Sequence[PeerAuthentication], namespace: str = "shop") -> Strictness:
    return strictness_of(namespace, {"app": "front"}, peers, "istio-system")


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
        ([peer("shop", "STRICT"), peer("shop", "DISABLE", selector=MINE)], False),
        ([peer("shop", "STRICT", selector=OTHERS)], False),
        ([peer("istio-system", "STRICT", selector=MINE)], False),
        (
            [peer("shop", "PERMISSIVE", created="2026"), peer("shop", "STRICT", created="2025")],
            True,
        ),
        # One without a time is the youngest.
        ([peer("shop", "PERMISSIVE", created=""), peer("shop", "STRICT", created="2025")], True),
        ([peer("shop", "STRICT", selector={})], True),
    ],
)
def test_the_nearest_and_oldest_decides(
    peers: Sequence[PeerAuthentication], expected: bool
) -> None:
    found = for_front(peers)

    assert found.refuses(80) is expected
    assert found.is_any is expected


def test_in_the_root_namespace_a_selector_means_nothing() -> None:
    mine = peer("istio-system", "PERMISSIVE", selector=MINE)

    assert for_front([mine, peer("istio-system", "STRICT")], "istio-system").refuses(80)


def test_only_the_workload_s_own_has_ports() -> None:
    ports: dict[str, Json] = {"82": {"mode": "UNSET"}, "81": {"mode": "PERMISSIVE"}, "80": {}}
    mine = peer("shop", "STRICT", selector=MINE, ports=ports)
    everyone_s = peer("shop", "PERMISSIVE", ports={"83": {"mode": "STRICT"}})

    found = for_front([mine, everyone_s])

    assert [found.refuses(port) for port in (80, 81, 82, 83)] == [True, False, True, True]
    assert found == Strictness(everywhere=True, exceptions=(81,))


# Istio lets both of these stay open, a slip that is not copied.
@pytest.mark.parametrize(
    ("mode", "port_mode", "expected"),
    [
        ("PERMISSIVE", "STRICT", Strictness(everywhere=False, exceptions=(80,))),
        ("UNSET", "PERMISSIVE", Strictness(everywhere=True, exceptions=(80,))),
        ("UNSET", "DISABLE", Strictness(everywhere=True, exceptions=(80,))),
    ],
)
def test_ports_count_also_where_the_namespace_inherits(
    mode: str, port_mode: str, expected: Strictness
) -> None:
    mine = peer("shop", mode, selector=MINE, ports={"80": {"mode": port_mode}})

    found = for_front([mine, peer("shop", "UNSET"), peer("istio-system", "STRICT")])

    assert found == expected


def test_one_port_is_enough_to_refuse_something() -> None:
    assert Strictness(exceptions=(80,)).is_any
    assert not Strictness().is_any


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"mtls": {"mode": "strict"}}, "spec.mtls.mode"),
        ({"mtls": {"mode": 1}}, "spec.mtls.mode"),
        ({"portLevelMtls": {"http": {}}}, "spec.portLevelMtls.http"),
        ({"portLevelMtls": {"65536": {}}}, "spec.portLevelMtls.65536"),
        ({"selector": {"matchLabels": {"app": 1}}}, "spec.selector.matchLabels.app"),
    ],
)
def test_what_makes_no_sense_names_its_field(spec: dict[str, Json], field: str) -> None:
    with pytest.raises(FieldInvalidError) as caught:
        read(made("shop", spec))

    assert caught.value.field == field
