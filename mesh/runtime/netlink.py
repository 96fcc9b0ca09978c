"""The route by which an application's answers come back to the node proxy in its pod.

    fwmark 0x111/0xfff  ->  table 100  ->  local default dev lo

1. A netlink socket belongs to the namespace in which it was made: each function here enters, works
   and ends within one throwaway thread, and no socket outlives it.
2. Everything blocks for a few milliseconds: call it in a worker thread.
"""

import errno
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from mesh.model.names import CONNECTION_MARK, MARK_MASK, ROUTE_TABLE, RULE_PRIORITY
from mesh.redirection.rules import LOOPBACK_LINK, Family
from mesh.runtime.netlink_wiring import WiringError
from mesh.runtime.netns import enter, in_throwaway_thread

_AF: Final = {Family.V4: 2, Family.V6: 10}
_DEFAULT: Final = {Family.V4: "0.0.0.0/0", Family.V6: "::/0"}
_SCOPE_HOST: Final = 254
_TYPE_LOCAL: Final = 2
_ABSENT: Final = frozenset({errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EAFNOSUPPORT})
OutcomeT = TypeVar("OutcomeT")


class _Message(Protocol):
    """What is used of pyroute2's messages, which have no types."""

    def get(self, name: str, default: object = None) -> object: ...
    def get_attr(self, name: str) -> object: ...


class _Route(Protocol):
    """What is used of pyroute2's IPRoute, which has no types."""

    def link_lookup(self, **match: str) -> list[int]: ...
    def rule(self, command: str, **words: object) -> object: ...
    def route(self, command: str, **words: object) -> object: ...
    def get_rules(self, **match: object) -> list[_Message]: ...
    def get_routes(self, **match: object) -> list[_Message]: ...
    def get_addr(self, **match: object) -> list[_Message]: ...


def add_answer_route(netns: int, family: Family) -> bool:
    """Send marked answers to the namespace's own sockets; what is there already stays.

    Returns:
        Whether something was missing.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        WiringError: the kernel refuses; its loopback is down, for one.
    """

    def work(route: _Route) -> bool:
        has_rule, has_route = _has_rule(route, family), _has_route(route, family)
        if not has_route:
            route.route("replace", **_route_words(route, family))
        if not has_rule:
            route.rule("add", **_rule_words(family))
        return not (has_rule and has_route)

    return _in_netns(netns, work)


def remove_answer_route(netns: int, family: Family) -> None:
    """Take the rule and the table's route away; nothing there is fine.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        WiringError: the kernel refuses.
    """

    def work(route: _Route) -> None:
        if _has_rule(route, family):
            route.rule("del", **_rule_words(family))
        if _has_route(route, family):
            route.route("del", **_route_words(route, family))

    _in_netns(netns, work)


def addresses(netns: int) -> tuple[str, ...]:
    """All addresses of a namespace but its loopback's, sorted.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        WiringError: the kernel refuses.
    """

    def work(route: _Route) -> tuple[str, ...]:
        loopbacks = route.link_lookup(ifname=LOOPBACK_LINK)
        return tuple(
            sorted(
                str(message.get_attr("IFA_ADDRESS"))
                for message in route.get_addr()
                if message.get("index") not in loopbacks
            )
        )

    return _in_netns(netns, work)


def _in_netns(netns: int, work: Callable[[_Route], OutcomeT]) -> OutcomeT:
    def run() -> OutcomeT:
        enter(netns)
        try:
            with IPRoute() as route:
                return work(route)
        except NetlinkError as error:
            raise WiringError(str(error)) from error

    return in_throwaway_thread(run)


def _rule_words(family: Family) -> dict[str, object]:
    return {
        "family": _AF[family],
        "priority": RULE_PRIORITY,
        "fwmark": CONNECTION_MARK,
        "fwmask": MARK_MASK,
        "table": ROUTE_TABLE,
    }


def _route_words(route: _Route, family: Family) -> dict[str, object]:
    found = route.link_lookup(ifname=LOOPBACK_LINK)
    if not found:
        raise WiringError("no loopback link")
    words: dict[str, object] = {
        "family": _AF[family],
        "dst": _DEFAULT[family],
        "table": ROUTE_TABLE,
        "oif": found[0],
        "type": "local",
    }
    return words | ({"scope": _SCOPE_HOST} if family is Family.V4 else {})


def _has_rule(route: _Route, family: Family) -> bool:
    return any(
        rule.get_attr("FRA_PRIORITY") == RULE_PRIORITY
        and rule.get_attr("FRA_FWMARK") == CONNECTION_MARK
        and rule.get_attr("FRA_FWMASK") == MARK_MASK
        and rule.get_attr("FRA_TABLE") == ROUTE_TABLE
        for rule in route.get_rules(family=_AF[family])
    )


def _has_route(route: _Route, family: Family) -> bool:
    try:
        routes = list(route.get_routes(family=_AF[family], table=ROUTE_TABLE))
    except NetlinkError as error:
        if error.code in _ABSENT:  # a table that never had a route
            return False
        raise
    return any(found.get("type") == _TYPE_LOCAL and found.get("dst_len") == 0 for found in routes)
