"""Our own worker, fed by the benchmark itself: no control plane, no supervisor.

The worker is told what a control process would tell it: who lives where, one certificate, one pod.
"""

import array
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.namespaces import CLIENT_IP, SERVER_IP, inside, path_of
from bench.processes import Started
from mesh.model.address import parse_ip
from mesh.model.identity import Identity
from mesh.model.workload import TunnelProtocol, Workload
from mesh.wire.feed import (
    MAX_PACKET_OCTETS,
    AddPod,
    Applied,
    Certificate,
    HelloEnd,
    PodInfo,
    PodListening,
    Query,
    StateDelta,
    ToControl,
    ToWorker,
)
from mesh.wire.feed_codec import decode, encode
from tests.pki import Issued

ANSWER_SECONDS: Final = 20.0
ENVIRONMENT: Final = {
    "NODE_NAME": "bench",
    "POD_NAME": "ztunnel-bench",
    "POD_NAMESPACE": "istio-system",
    "SERVICE_ACCOUNT": "ztunnel",
    "ZTUNNEL_WORKER_THREADS": "1",
    "RUST_LOG": "error",
}


def world(client: Identity, server: Identity) -> tuple[Workload, Workload]:
    """The two pods at the ends of a cable, on two nodes."""
    pods = ((client, CLIENT_IP, "near"), (server, SERVER_IP, "far"))
    near, far = (
        Workload(
            uid=uid_of(identity),
            name=identity.service_account,
            namespace=identity.namespace,
            service_account=identity.service_account,
            trust_domain=identity.trust_domain,
            addresses=(parse_ip(ip),),
            protocol=TunnelProtocol.HBONE,
            node=node,
            services={},
        )
        for identity, ip, node in pods
    )
    return near, far


def uid_of(identity: Identity) -> str:
    """The uid of a pod of the bench, as Kubernetes pods have it."""
    return f"Kubernetes//Pod/{identity.namespace}/{identity.service_account}"


class Feed:
    """The control end of a worker's feed, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a SOCK_SEQPACKET socket."""
        self._sock = sock
        self._sock.settimeout(ANSWER_SECONDS)

    def say(self, message: ToWorker, descriptor: int | None = None) -> None:
        """Send one message; the descriptor stays the caller's."""
        rights = (
            []
            if descriptor is None
            else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        )
        self._sock.sendmsg([encode(message)], rights)

    def wait(self, kind: type[ToControl]) -> ToControl:
        """Read on until a message of this kind comes.

        Raises:
            TimeoutError: none came.
            ConnectionError: the worker has ended.
        """
        while True:
            packet = self._sock.recv(MAX_PACKET_OCTETS)
            if not packet:
                raise ConnectionError("the worker has ended")
            message = decode(packet)
            if isinstance(message, kind):
                return message


@contextmanager
def running(
    namespace: str, us: Identity, issued: Issued, workloads: tuple[Workload, ...]
) -> Iterator[Started]:
    """A worker that serves the pod `us` in a namespace, until the block ends.

    Raises:
        RuntimeError: it does not listen; the message has what it said.
    """
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with its:
            process = Started(
                [sys.executable, "-m", "ztunnel.worker", str(its.fileno()), "0"],
                keep=(its.fileno(),),
                env={**os.environ, **ENVIRONMENT},
            )
        try:
            try:
                _introduce(Feed(ours), namespace, us, issued, workloads)
            except (OSError, ValueError) as error:
                said = "\n".join(process.lines[-30:])
                raise RuntimeError(f"the worker does not serve ({error}):\n{said}") from error
            yield process
        finally:
            process.stop()


def _introduce(
    feed: Feed, namespace: str, us: Identity, issued: Issued, workloads: tuple[Workload, ...]
) -> None:
    feed.say(Query(0, "hello"))
    feed.wait(HelloEnd)
    feed.say(StateDelta(1, last=True, reset=True, workloads=workloads))
    feed.wait(Applied)
    feed.say(Certificate(us, issued.key, issued.chain, issued.roots, issued.not_after))
    pod = PodInfo(uid_of(us), us.service_account, us.namespace, us.service_account)
    netns = os.open(path_of(namespace), os.O_RDONLY | os.O_CLOEXEC)
    try:
        feed.say(AddPod(pod), netns)
        answer = feed.wait(PodListening)
    finally:
        os.close(netns)
    if isinstance(answer, PodListening) and answer.error:
        raise ValueError(answer.error)


def python(namespace: str, *words: str) -> list[str]:
    """The command line of a Python module of ours in a namespace."""
    return inside(namespace, sys.executable, "-m", *words)
