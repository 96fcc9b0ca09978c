"""The plugin by itself, run as a runtime runs it, with an agent that a test plays."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import cni.plugin
from cni.plugin_call import PluginCall, decode
from mesh.model.fields import Json

PLUGIN = Path(cni.plugin.__path__[0]) / "sluice_cni.py"
RESULT: dict[str, Json] = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1/24"}], "é": "😀"}
POD = "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=front;K8S_POD_UID=u1"


class AgentEnd:
    """Answers one call with given octets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(folder / "pluginevent.sock"))
        self.listener.listen()
        self.heard = b""

    def answers(self, octets: bytes) -> None:
        def answer() -> None:
            connection, _ = self.listener.accept()
            with connection:
                while more := connection.recv(65536):
                    self.heard += more
                connection.sendall(octets)

        threading.Thread(target=answer, daemon=True).start()

    @property
    def call(self) -> PluginCall:
        return decode(self.heard)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentEnd]:
    end = AgentEnd(tmp_path)
    yield end
    end.listener.close()


def run(
    command: str | None,
    folder: Path,
    arguments: str = POD,
    given: bytes | None = None,
    **more: Json,
) -> tuple[int, str]:
    config: dict[str, Json] = {
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "sluice-cni",
        "cni_agent_run_dir": os.fspath(folder),
        "exclude_namespaces": ["kube-system"],
        "prevResult": RESULT,
        **more,
    }
    variables: Mapping[str, str] = {
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/x",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": f"IgnoreUnknown=1;{arguments}",
        "CNI_PATH": "/opt/cni/bin",
        "OTHER": "not for the agent",
    }
    done = subprocess.run(
        [PLUGIN],
        input=json.dumps(config).encode() if given is None else given,
        env={**variables, **({} if command is None else {"CNI_COMMAND": command})},
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


def refusal(outcome: tuple[int, str]) -> tuple[int, str]:
    """The code and text of an error of CNI."""
    code, printed = outcome
    answer = json.loads(printed)
    assert code == 1
    assert set(answer) == {"cniVersion", "code", "msg"}
    return answer["code"], answer["msg"]


def test_the_agent_gets_everything_and_its_answer_is_printed(agent: AgentEnd) -> None:
    agent.answers(b'0{"its": "words"}')

    assert run("ADD", agent.folder) == (0, '{"its": "words"}')
    assert agent.call == PluginCall(
        command="ADD",
        container="c1",
        netns="/run/netns/x",
        namespace="shop",
        name="front",
        uid="u1",
        version="1.0.0",
        previous=RESULT,
    )
    assert b"OTHER" not in agent.heard


def test_the_agents_refusal_is_the_plugin_s(agent: AgentEnd) -> None:
    agent.answers(b'1{"code": 11}')

    assert run("ADD", agent.folder) == (1, '{"code": 11}')


@pytest.mark.parametrize("octets", [b"", b"garbage"])
def test_an_agent_that_ends_in_the_middle_makes_the_pod_wait(
    agent: AgentEnd, octets: bytes
) -> None:
    agent.answers(octets)

    code, text = refusal(run("ADD", agent.folder))

    assert code == 11
    assert "it ended in the middle" in text


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_without_an_agent_the_pod_waits_and_the_error_says_what_to_do(
    tmp_path: Path, command: str
) -> None:
    code, text = refusal(run(command, tmp_path))

    assert code == 11
    assert f"{tmp_path}/pluginevent.sock: No such file" in text
    assert "pod shop/front waits; start sluice-cni-agent on this node" in text


@pytest.mark.parametrize(
    "arguments", ["K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns", "", "K8S_POD_NAME=x"]
)
def test_excluded_namespaces_and_what_is_no_pod_never_wait(tmp_path: Path, arguments: str) -> None:
    code, printed = run("ADD", tmp_path, arguments)

    assert code == 0
    assert json.loads(printed) == RESULT
    assert run("CHECK", tmp_path, arguments) == (0, "")


def test_a_pod_can_always_go(tmp_path: Path, agent: AgentEnd) -> None:
    agent.answers(b"0")
    assert run("DEL", agent.folder) == (0, "")
    assert agent.call.command == "DEL"

    assert run("DEL", tmp_path / "nobody") == (0, "")
    assert run("GC", tmp_path / "nobody") == (0, "")


def test_status_says_whether_pods_can_start(tmp_path: Path, agent: AgentEnd) -> None:
    agent.answers(b"0")
    assert run("STATUS", agent.folder) == (0, "")

    assert refusal(run("STATUS", tmp_path / "nobody"))[0] == 50


def test_version_is_told_without_an_agent(tmp_path: Path) -> None:
    code, printed = run("VERSION", tmp_path, cniVersion="0.4.0")

    assert code == 0
    assert json.loads(printed) == {
        "cniVersion": "0.4.0",
        "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    }


def test_a_version_that_is_not_spoken_is_refused(tmp_path: Path) -> None:
    code, text = refusal(run("ADD", tmp_path, cniVersion="0.2.0"))

    assert code == 1
    assert "0.2.0 is none of 0.3.1, 0.4.0, 1.0.0, 1.1.0" in text


@pytest.mark.parametrize("given", [b"", b"{", b"nonsense", b"\xff", b'{"a": tru}', b"[" * 9999])
def test_a_configuration_that_is_no_json_is_refused(tmp_path: Path, given: bytes) -> None:
    assert refusal(run("ADD", tmp_path, given=given))[0] == 6


def test_wrong_uses_are_refused(tmp_path: Path) -> None:
    assert refusal(run("ADD", tmp_path, given=b"[]"))[0] == 7
    assert refusal(run("ADD", tmp_path, cni_agent_run_dir=5))[0] == 7
    assert refusal(run("ADD", tmp_path, given=b'{"cniVersion": "1.0.0"}'))[0] == 7
    assert refusal(run("DANCE", tmp_path))[0] == 4
    assert refusal(run(None, tmp_path))[0] == 4
