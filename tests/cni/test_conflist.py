"""Our plugin in other people's network configurations."""

import json

import pytest

from cni.conflist import NetworkConfigInvalidError, entry, with_plugin

OURS = entry("/run/agent", ("kube-system",))
LIST = {"cniVersion": "1.0.0", "name": "net", "x": 1, "plugins": [{"type": "bridge", "y": [2]}]}


def test_the_plugin_comes_last_and_everything_else_stays() -> None:
    name, text = with_plugin("10-a.conflist", json.dumps(LIST), OURS)

    assert name == "10-a.conflist"
    assert json.loads(text) == {**LIST, "plugins": [{"type": "bridge", "y": [2]}, OURS]}


def test_a_configuration_that_has_it_is_left_as_it_was_written() -> None:
    _, text = with_plugin("a.conflist", json.dumps(LIST), OURS)
    odd = text.replace("\n", "  \n")

    assert with_plugin("a.conflist", odd, OURS) == ("a.conflist", odd)


def test_an_older_entry_is_replaced_wherever_it_stood() -> None:
    older = {**LIST, "plugins": [{"type": "sluice-cni"}, {"type": "bridge"}]}

    _, text = with_plugin("a.conflist", json.dumps(older), OURS)

    assert json.loads(text)["plugins"] == [{"type": "bridge"}, OURS]


def test_a_single_plugin_becomes_a_list_under_another_name() -> None:
    name, text = with_plugin("10-a.conf", '{"cniVersion": "0.3.1", "type": "bridge"}', OURS)

    assert name == "10-a.conflist"
    assert json.loads(text) == {
        "cniVersion": "0.3.1",
        "name": "k8s-pod-network",
        "plugins": [{"cniVersion": "0.3.1", "type": "bridge"}, OURS],
    }


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"plugins": {}}',
        '{"plugins": []}',
        '{"plugins": [{"type": "sluice-cni"}]}',
    ],
)
def test_what_is_no_configuration_is_named(text: str) -> None:
    with pytest.raises(NetworkConfigInvalidError, match=r"10-a\.conflist"):
        with_plugin("10-a.conflist", text, OURS)
