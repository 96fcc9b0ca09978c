"""Puts a pod's traffic into its node proxy, and takes it out again, without cutting a connection.

1. Connections that were open before their pod was captured stay as they are: the kernel must not
   take their next packet for the first of a connection (`nf_conntrack_tcp_loose` is 0 before the
   rules come), or it would redirect them.
2. Connections that were captured go on when the pod is freed: the rules that give answers their
   mark stay, and with them the kernel's memory of whom it redirected (tried: without any rule that
   asks for it the kernel forgets, and they hang). `clear_pod` is for when they have ended.
3. Every function may be repeated, and mends what has drifted.
4. Everything blocks for some ten milliseconds: call it in a worker thread. No function leaves the
   thread in the pod.
"""

import os
from pathlib import Path
from typing import Final

from mesh.errors import ConfigError, UnavailableError
from mesh.redirection.rules import (
    LOOPBACK_LINK,
    Capture,
    Family,
    answer_rules,
    capture_rules,
)
from mesh.runtime.firewall import set_rules
from mesh.runtime.netlink import add_answer_route, remove_answer_route
from mesh.runtime.netlink_wiring import set_kernel, wire
from mesh.runtime.netns import inside, make_netns
from mesh.runtime.probe import RightMissingError, missing_right

_LOOSE: Final = "netfilter/nf_conntrack_tcp_loose"
_NO_V6: Final = f"ipv6/conf/{LOOPBACK_LINK}/disable_ipv6"


class KernelLacksError(ConfigError):
    """The node's kernel lacks what capturing a pod needs."""

    code = "kernel_lacks"

    def __init__(self, what: str) -> None:
        """Keep what is missing."""
        super().__init__((f"this kernel has no {what}: start one that has, or load its module",))
        self.what = what


def try_capture(capture: Capture | None = None) -> None:
    """Try all that capturing a pod needs, in a namespace that goes at once.

    Raises:
        RightMissingError: a right is missing, or the kernel refuses a rule.
        KernelLacksError: this kernel cannot do it.
        FirewallMissingError: iptables is not installed.
    """
    try:
        netns = make_netns()
    except OSError as error:
        what, reason = "making a network namespace (unshare)", error.strerror or str(error)
        raise RightMissingError((missing_right(what, reason, "CAP_SYS_ADMIN"),)) from error
    try:
        raise_loopback(netns)
        capture_pod(netns, capture or Capture(dns=True))
    except (UnavailableError, OSError) as error:
        what = "capturing connections (nf_tables, nat, REDIRECT, CT, mark and connmark)"
        raise RightMissingError((missing_right(what, str(error), "CAP_NET_ADMIN"),)) from error
    finally:
        os.close(netns)


def capture_pod(netns: int, capture: Capture) -> bool:
    """Capture a pod's new connections; those that are open stay as they are.

    Returns:
        Whether anything had to be changed: false attests that the pod was captured already.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        KernelLacksError: this kernel cannot do it.
        FirewallMissingError, FirewallRefusedError, WiringError: the pod may be captured in part.
    """
    changed = []
    if (loose := _setting(netns, _LOOSE)) != "0":
        if not loose:
            raise KernelLacksError("connection tracking (CONFIG_NF_CONNTRACK)")
        set_kernel(netns, {_LOOSE: "0"})
        changed.append(True)
    # The answers' way first: from the first rule on, connections may need it.
    changed += [add_answer_route(netns, family) for family in families(netns)]
    changed += [
        set_rules(netns, family, capture_rules(capture, family)) for family in families(netns)
    ]
    return any(changed)


def free_pod(netns: int) -> None:
    """Capture nothing new; connections that were captured go on, and so need `clear_pod` later.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        FirewallMissingError, FirewallRefusedError: the pod may be captured still.
    """
    for family in families(netns):
        set_rules(netns, family, answer_rules())


def clear_pod(netns: int) -> None:
    """Take everything of ours out of a pod's namespace.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        FirewallMissingError, FirewallRefusedError, WiringError: some of it may be there still.
    """
    for family in families(netns):
        set_rules(netns, family, ())
        remove_answer_route(netns, family)
    set_kernel(netns, {_LOOSE: "1"})


def raise_loopback(netns: int) -> None:
    """Switch the loopback link on: without it there is no way back for answers.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        WiringError: no right.
    """
    wire(netns, lambda wiring: wiring.up(LOOPBACK_LINK))


def families(netns: int) -> tuple[Family, ...]:
    """The IP versions that a namespace speaks.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
    """
    return (Family.V4, Family.V6) if _setting(netns, _NO_V6) == "0" else (Family.V4,)


def _setting(netns: int, name: str) -> str:
    """What a setting below /proc/sys/net holds; empty when this kernel does not have it."""
    try:
        with inside(netns):
            return Path("/proc/sys/net", name).read_text().strip()
    except FileNotFoundError:
        return ""
