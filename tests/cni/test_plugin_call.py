"""What the plugin says to the agent, and is told."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.plugin_call import PluginCall, PluginCallInvalidError, decode, failure, success
from mesh.errors import MeshError

VARIABLES = (
    b"CNI_COMMAND=ADD\0CNI_CONTAINERID=c1\0CNI_NETNS=/run/netns/x\0"
    b"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=front;K8S_POD_UID=u1"
)
CONFIG = b'{"cniVersion": "1.0.0", "prevResult": {"ips": []}}'
CALL = PluginCall(
    command="ADD",
    container="c1",
    netns="/run/netns/x",
    namespace="shop",
    name="front",
    uid="u1",
    version="1.0.0",
    previous={"ips": []},
)


def test_a_call_is_read() -> None:
    assert decode(VARIABLES + b"\0\0" + CONFIG) == CALL
    assert CALL.pod == "shop/front"


def test_what_the_runtime_does_not_say_is_empty() -> None:
    assert decode(b"CNI_COMMAND=DEL\0\0{}") == PluginCall(command="DEL")


@pytest.mark.parametrize(
    "octets", [b"", VARIABLES, VARIABLES + b"\0\0", VARIABLES + b"\0\0[]", b"\0\0\xff"]
)
def test_half_a_call_is_none(octets: bytes) -> None:
    with pytest.raises(PluginCallInvalidError):
        decode(octets)


def test_a_call_that_is_too_long_is_none() -> None:
    with pytest.raises(PluginCallInvalidError, match="octets"):
        decode(b"\0\0" + b" " * (4 * 1024 * 1024) + b"{}")


def test_success_gives_the_earlier_result_where_there_is_one_to_give() -> None:
    assert success(CALL) == b'0{"ips": []}'
    assert success(PluginCall(command="DEL", previous={"ips": []})) == b"0"


def test_failure_is_an_error_of_cni() -> None:
    answer = failure("0.4.0", 11, PluginCallInvalidError("odd"))

    assert answer[:1] == b"1"
    assert json.loads(answer[1:]) == {
        "cniVersion": "0.4.0",
        "code": 11,
        "msg": "not a call of CNI: odd",
        "details": "plugin_call_invalid",
    }


@given(st.binary() | st.binary().map(lambda octets: VARIABLES + b"\0\0" + octets))
def test_garbage_raises_only_errors_of_ours(octets: bytes) -> None:
    with suppress(MeshError):
        decode(octets)
