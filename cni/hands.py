"""What the agent does inside pods: blocking functions, to be run in worker threads.

Each opens the pod's namespace by its path, works, and closes it: nothing here keeps a pod alive.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cni.flows import inbound_ports, proxied, unproxied
from cni.pods import Pod
from mesh.policy.peer_authentication import Strictness
from mesh.runtime.capture import capture_pod, clear_pod, free_pod, raise_loopback
from mesh.runtime.netlink_sockets import connections, end_connection


@contextmanager
def _inside(pod: Pod) -> Iterator[int]:
    netns = pod.open()
    try:
        yield netns
    finally:
        os.close(netns)


def prepare(pod: Pod) -> None:
    """Switch the pod's loopback on, where nobody has done so.

    Raises:
        NetnsGoneError, WiringError: it is not there, or there is no right.
    """
    with _inside(pod) as netns:
        raise_loopback(netns)


def capture(pod: Pod) -> bool:
    """Capture a pod as its record says; whether anything had to be done (`capture_pod`).

    Raises:
        NetnsGoneError, FirewallMissingError, FirewallRefusedError, WiringError: as `capture_pod`;
            also when the namespace went away meanwhile.
    """
    with _inside(pod) as netns:
        changed = capture_pod(netns, pod.capture)
    with _inside(pod):  # still the pod's? The descriptor alone would have kept it alive
        return changed


def count_earlier(pod: Pod) -> dict[str, int]:
    """The connections that are open now and go by no proxy: cookies, and ports of inbound ones.

    Raises:
        NetnsGoneError, SocketsUnknownError: they cannot be counted.
    """
    with _inside(pod) as netns:
        found = connections(netns)
    ports = inbound_ports(found)
    return {
        each.cookie: each.local.port if each.local.port in ports else 0 for each in unproxied(found)
    }


def end_earlier(pod: Pod, strict: Strictness) -> tuple[Mapping[str, int], int]:
    """End the earlier connections to the pod's ports on which plain text is refused now.

    Returns:
        The earlier connections that are still open, and how many were ended.

    Raises:
        NetnsGoneError, SocketsUnknownError: they cannot be seen, or not ended.
    """
    left: dict[str, int] = {}
    ended = 0
    with _inside(pod) as netns:
        for each in connections(netns):
            port = (pod.earlier or {}).get(each.cookie)
            if port and strict.refuses(port):
                ended += end_connection(netns, each)
            elif port is not None:
                left[each.cookie] = port
    return left, ended


def free(pod: Pod) -> None:
    """Capture nothing new of a pod.

    Raises:
        NetnsGoneError, FirewallMissingError, FirewallRefusedError: as `free_pod`.
    """
    with _inside(pod) as netns:
        free_pod(netns)


def count_proxied(pod: Pod) -> int:
    """How many connections the node proxy still carries for a pod.

    Raises:
        NetnsGoneError, SocketsUnknownError: they cannot be counted.
    """
    with _inside(pod) as netns:
        return len(proxied(connections(netns)))


def clear(pod: Pod) -> None:
    """Leave nothing of ours in a pod.

    Raises:
        NetnsGoneError, FirewallMissingError, FirewallRefusedError, WiringError: as `clear_pod`.
    """
    with _inside(pod) as netns:
        clear_pod(netns)
