"""The agent's side of ZDS: hands pods with their namespaces to the node's proxies.

1. One request at a time on each connection, answered within ANSWER_SECONDS; a proxy that does not
   answer, or answers nonsense, is cut off: it connects anew and gets a fresh snapshot.
2. During a proxy's upgrade several are connected: an added pod goes to the newest, a deleted one to
   all.
3. A proxy first gets every pod (Add, or Keep for one whose namespace we do not have), then
   SnapshotSent. What changes meanwhile waits for its turn behind the snapshot.
"""

import array
import logging
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from mesh.errors import PeerError, UnavailableError
from mesh.runtime import unix_sockets
from mesh.wire import zds
from mesh.wire.feed import PodInfo

ANSWER_SECONDS: Final = 5.0
ORDINARY: Final = (PeerError, UnavailableError, OSError, trio.TooSlowError)
"""How a connection to a proxy may end; anything else is a bug of ours."""

log = logging.getLogger(__name__)


class NoProxyError(UnavailableError):
    """No node proxy is connected to the agent."""

    code = "zds_no_proxy"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__(
            "no node proxy is connected to the agent; is ztunnel running on this node?"
        )


class ProxyRefusedError(UnavailableError):
    """The node proxy does not take a pod, or does not answer."""

    code = "zds_proxy_refused"

    def __init__(self, uid: str, reason: str) -> None:
        """Keep the pod's uid and the proxy's words."""
        super().__init__(f"the node proxy does not serve pod {uid}: {reason}")
        self.uid, self.reason = uid, reason


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A pod that the proxies are to serve; without a namespace they are only told to keep it."""

    info: PodInfo
    netns: int | None
    """A descriptor; it stays the agent's, who may close it when the next pod is asked for."""


class _Proxy:
    """One connected proxy. `listen` is the only reader of its socket."""

    def __init__(self, connection: trio.socket.SocketType) -> None:
        self._connection = connection
        self._turn = trio.Lock()
        self._asked = False
        self._heard, self._answers = trio.open_memory_channel[bytes](1)
        self.greeted = False

    async def listen(self) -> None:
        """Take its packets until it hangs up.

        Raises:
            ZdsInvalidError: it said something that nobody asked for.
            OSError: the connection is lost.

        Cancellation: nothing is lost.
        """
        self._asked = True  # the hello
        while packet := await self._connection.recv(zds.MAX_PACKET_OCTETS):
            if not self._asked:
                raise zds.ZdsInvalidError("a packet that nobody asked for")
            self._asked = False
            await self._heard.send(packet)

    async def greet(self, pods: Callable[[], Generator[Enrolled, None, None]]) -> None:
        """Take its hello and tell it all pods.

        Raises:
            PeerError, UnavailableError, OSError: it does not keep to the protocol, or is gone.

        Cancellation: the connection is to be closed.
        """
        async with self._turn:
            with trio.fail_after(ANSWER_SECONDS):
                zds.decode_hello(await self._answers.receive())
            with closing(pods()) as told:
                for pod in told:
                    await self._tell(pod)
            await self._ask(zds.SnapshotSent(), None)
        self.greeted = True

    async def _tell(self, pod: Enrolled) -> None:
        if pod.netns is None:
            await self._ask(zds.KeepPod(pod.info.uid), None)
        elif error := await self._ask(zds.AddPod(pod.info), pod.netns):
            # The proxy tries it again by itself, and is not ready until then.
            log.error("pod %s is not served: %s", pod.info.uid, error)

    async def ask(self, request: zds.Request, netns: int | None) -> str:
        """Send a request in its turn; the proxy's answer, empty for success.

        Raises:
            PeerError, UnavailableError, OSError: it does not keep to the protocol, or is gone.

        Cancellation: the connection is to be closed.
        """
        async with self._turn:
            return await self._ask(request, netns)

    async def _ask(self, request: zds.Request, netns: int | None) -> str:
        rights = [] if netns is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _rights(netns))]
        self._asked = True
        try:
            with trio.fail_after(ANSWER_SECONDS):
                await self._connection.sendmsg([zds.encode_request(request)], rights)
                return zds.decode_response(await self._answers.receive())
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise NoProxyError from None

    def close(self) -> None:
        """Cut it off; whoever waits for its answer is told."""
        self._connection.close()
        self._heard.close()


class ZdsServer:
    """Serves the node's proxies on a Unix socket."""

    def __init__(
        self, pods: Callable[[], Generator[Enrolled, None, None]], changed: Callable[[], None]
    ) -> None:
        """Serve.

        Args:
            pods: gives every pod that is to be served, one when the last has been told.
            changed: called when a proxy has come (and has its snapshot) or has gone.
        """
        self._pods = pods
        self._changed = changed
        self._proxies: list[_Proxy] = []

    @property
    def connected(self) -> int:
        """How many proxies have their snapshot."""
        return sum(proxy.greeted for proxy in self._proxies)

    async def serve(
        self, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept proxies until cancelled; started when it listens.

        Raises:
            SocketRefusedError: the socket cannot be made there.

        Cancellation: every proxy is cut off, and keeps serving what it has.
        """
        with unix_sockets.listening(path, socket.SOCK_SEQPACKET) as listener:
            task_status.started()
            async with trio.open_nursery() as connections:
                while True:
                    connection = await unix_sockets.accept(listener)
                    connections.start_soon(self._serve, connection)

    async def _serve(self, connection: trio.socket.SocketType) -> None:
        proxy = _Proxy(connection)
        # Before the snapshot, so that a pod that is added meanwhile waits for its turn behind it.
        self._proxies.append(proxy)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._greet, proxy)
                await proxy.listen()
                nursery.cancel_scope.cancel()
            log.info("a node proxy has gone")
        except* ORDINARY as group:
            for error in leaves(group):
                log.warning("a node proxy is cut off: %s", described(error))
        finally:
            self._forget(proxy)

    async def _greet(self, proxy: _Proxy) -> None:
        await proxy.greet(self._pods)
        log.info("a node proxy is connected")
        self._changed()

    def _forget(self, proxy: _Proxy) -> None:
        proxy.close()
        if proxy in self._proxies:
            self._proxies.remove(proxy)
            self._changed()

    async def add(self, pod: PodInfo, netns: int) -> None:
        """Have the newest proxy serve a pod.

        Raises:
            NoProxyError: none is there.
            ProxyRefusedError: it could not, or did not answer.
            ZdsTooLargeError: the pod's names do not fit into a packet.

        Cancellation: the proxy may serve the pod or not; `delete` it.
        """
        zds.encode_request(zds.AddPod(pod))  # what does not fit must not cost the connection
        if not self._proxies:
            raise NoProxyError
        error = await self._asked(self._proxies[-1], zds.AddPod(pod), netns)
        if error:
            raise ProxyRefusedError(pod.uid, error)

    async def delete(self, uid: str) -> None:
        """Have every proxy give a pod up; those that cannot are cut off, and forget it then.

        Cancellation: some may serve the pod still.
        """
        for proxy in list(self._proxies):
            await self._asked(proxy, zds.DelPod(uid), None)

    async def _asked(self, proxy: _Proxy, request: zds.Request, netns: int | None) -> str:
        try:
            return await proxy.ask(request, netns)
        except ORDINARY as error:
            self._forget(proxy)
            return described(error)


def _rights(netns: int) -> bytes:
    return array.array("i", [netns]).tobytes()


def described(error: BaseException) -> str:
    """Why a proxy is cut off, for people."""
    if isinstance(error, trio.TooSlowError):
        return f"no answer within {ANSWER_SECONDS:g} s"
    return str(error) or type(error).__name__


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions of a group and of the groups in it."""
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from leaves(one)
        else:
            yield one
