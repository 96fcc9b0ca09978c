"""The conversation with the node agent: which pods there are, and their network namespaces.

1. Each request is answered when it is true: a pod is acknowledged when the workers listen in it.
2. When the agent goes, its pods stay: the next conversation begins with a snapshot, and what is
   neither added nor kept in it goes then.
3. What the protocol does not allow ends the conversation, and nothing else.
"""

import array
import logging
import os
import socket
from random import Random
from typing import Final

import trio

from mesh.errors import PeerError
from mesh.runtime.control.retries import Retries
from mesh.wire import zds
from mesh.wire.zds import AddPod, DelPod, KeepPod, Request, SnapshotSent, ZdsInvalidError
from ztunnel.control.pod_workers import PodNotServedError, PodWorkers
from ztunnel.control.pods import Pods

ANSWER_S: Final = 4.0
"""The agent waits five seconds."""

FIRST_DELAY_S: Final = 0.01
MOST_DELAY_S: Final = 1.0
"""A socket of this machine: a try costs nothing, and pods wait for it."""

INT_OCTETS: Final = array.array("i").itemsize
ANCILLARY_OCTETS: Final = socket.CMSG_SPACE(4 * INT_OCTETS)

log = logging.getLogger(__name__)


class ZdsClient:
    """The proxy's side of ZDS."""

    def __init__(self, path: str, pods: Pods, workers: PodWorkers, chance: Random) -> None:
        """Nothing happens before `run`."""
        self._path, self._pods, self._workers = path, pods, workers
        self._chance = chance
        self._scope = trio.CancelScope()
        self.is_connected = False
        """Whether an agent is there that has told all its pods."""

    def stop(self) -> None:
        """Hang up, for good: the proxy ends, and new pods are for its successor."""
        self._scope.cancel()

    async def run(self) -> None:
        """Converse until `stop`: connect again whenever the agent goes.

        Cancellation: closes the connection; the pods stay.
        """
        with self._scope:
            await self._run()

    async def _run(self) -> None:
        retries = Retries(self._chance, FIRST_DELAY_S, MOST_DELAY_S)
        while True:
            try:
                if await self._converse():
                    retries.succeed()
                reason = "the agent has gone"
            except OSError as error:
                reason = error.strerror or str(error)
            except PeerError as error:
                log.error(  # noqa: TRY400 - the peer's fault, not ours: no traceback
                    "the node agent broke the protocol",
                    extra={"code": error.code, "error": str(error)},
                )
                reason = error.code
            delay_s, level = retries.again()
            log.log(
                level,
                "not connected to the node agent",
                extra={
                    "code": "agent_away",
                    "reason": reason,
                    "path": self._path,
                    "retry": f"{delay_s:.2f}s",
                },
            )
            await trio.sleep(delay_s)

    async def _converse(self) -> bool:
        """One connection; whether it came as far as a whole snapshot."""
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            await sock.connect(self._path)
            await sock.send(zds.encode_hello())
            log.info("connected to the node agent", extra={"path": self._path})
            snapshot = _Snapshot(self._pods, self._workers)
            try:
                while (answer := await self._one(sock, snapshot)) is not None:
                    await sock.send(answer)
                    self.is_connected = snapshot.is_whole
            finally:
                self.is_connected = False
            return snapshot.is_whole

    async def _one(self, sock: trio.socket.SocketType, snapshot: "_Snapshot") -> bytes | None:
        """The answer to the next request; None when the agent has gone."""
        try:
            packet, ancillary, flags, _ = await sock.recvmsg(
                zds.MAX_PACKET_OCTETS, ANCILLARY_OCTETS, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return None
        descriptors = _descriptors(ancillary)
        try:
            if not packet and not descriptors:
                return None
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ZdsInvalidError("longer than a packet may be")
            request = zds.decode_request(packet, len(descriptors))
            # The registry owns the namespace's descriptor from here on.
            netns, descriptors = (descriptors[0] if descriptors else -1), []
        except PeerError as error:
            await sock.send(zds.encode_response(str(error)))
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return zds.encode_response(await snapshot.obey(request, netns))


class _Snapshot:
    """One connection's requests: first all pods, then changes."""

    def __init__(self, pods: Pods, workers: PodWorkers) -> None:
        self._pods, self._workers = pods, workers
        self._told: set[str] = set()
        self.is_whole = False

    async def obey(self, request: Request, netns: int) -> str:
        """Do it. Returns why not, or an empty text.

        Raises:
            ZdsInvalidError: not at this point of the conversation.
        """
        match request:
            case AddPod(pod):
                self._told.add(pod.uid)
                self._pods.add(pod, netns)
                return await self._listen(pod.uid)
            case KeepPod(uid):
                return self._keep(uid)
            case DelPod(uid):
                self._told.discard(uid)
                self._pods.remove(uid)
                log.info("pod is not served any more", extra={"pod": uid})
                return ""
            case SnapshotSent():
                self._end_snapshot()
                return ""

    def _keep(self, uid: str) -> str:
        if self.is_whole:
            raise ZdsInvalidError("KeepPod after the snapshot")
        if self._pods.get(uid) is None:
            return f"pod {uid} is not known here: add it with its network namespace"
        self._told.add(uid)
        return ""

    def _end_snapshot(self) -> None:
        if self.is_whole:
            raise ZdsInvalidError("a second SnapshotSent")
        gone = self._pods.settle(self._told)
        self.is_whole = True
        log.info("the node agent has told all pods", extra={"pods": len(self._told)})
        for uid in gone:
            log.info("pod is not served any more", extra={"pod": uid})

    async def _listen(self, uid: str) -> str:
        try:
            with trio.move_on_after(ANSWER_S) as patience:
                await self._workers.wait_listening(uid)
        except PodNotServedError as error:
            return str(error)
        if patience.cancelled_caught and not self._workers.some_listen(uid):
            log.error("pod is not served in time", extra={"code": "pod_late", "pod": uid})
            return "no worker listens in the pod yet"
        log.info("pod is served", extra={"pod": uid})
        return ""


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, octets in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(octets[: len(octets) - len(octets) % INT_OCTETS])
    return list(found)
