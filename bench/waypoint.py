"""Our waypoint against Envoy as a waypoint of the same shape: `python -m bench.waypoint --help`.

Stock Envoys are the node proxies on both sides of both, so that only what is compared differs. CPU
and memory are those of the waypoint alone. One route: a header is matched, another one is added.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from bench import envoy, envoy_waypoint, sluice
from bench.namespaces import (
    BODY_PORT,
    CALL_PORT,
    REQUEST_PORT,
    SERVICE_IP,
    WAYPOINT_IP,
    cable_with_waypoint,
)
from bench.run import Contestant, Work, print_memory, print_row
from tests.pki import Authority

PORTS: Final = (REQUEST_PORT, BODY_PORT, CALL_PORT)
IDLE_CONNECTIONS: Final = 1000
WORKS: Final = (
    Work("requests, 32 connections", ("requests", "32"), "/s", 1, "us", 1e6),
    Work("requests, 1 connection", ("requests", "1"), "/s", 1, "us", 1e6),
    Work("gRPC calls, 32 streams", ("calls", "32"), "/s", 1, "us", 1e6),
    Work("bodies of 1 MB, 8 connections", ("bodies", "8"), "GB/s", 1e-9, "s/GB", 1e9),
)


@contextmanager
def contestants(names: Sequence[str]) -> Iterator[list[Contestant]]:
    """Start them all, each with node proxies, an application and namespaces of its own."""
    authority = Authority()
    near, far = authority.identity("bench", "client"), authority.identity("bench", "server")
    between = authority.identity("bench", "waypoint")
    with ExitStack() as stack:
        found = []
        for name in names:
            wires = stack.enter_context(cable_with_waypoint(name))
            application = sluice.Started(sluice.python(wires.server, "bench.load", "serve"))
            stack.callback(application.stop)
            application.wait_line("serving")
            stack.enter_context(envoy.running(wires.server, envoy.responder(CALL_PORT)))
            at_near, at_far = authority.issue(near), authority.issue(far)
            at_between = authority.issue(between)
            if name == "envoy":
                config = envoy_waypoint.waypoint(at_between, near, far, PORTS, (CALL_PORT,))
                waypoint = stack.enter_context(envoy.running(wires.waypoint, config))
            else:
                routes = [
                    sluice.route(f"to-{port}", sluice.SERVICE_KEY, port=port) for port in PORTS
                ]
                middle = sluice.waypoint(wires.waypoint, between, at_between, far, PORTS, routes)
                waypoint = stack.enter_context(middle).process
            ends = (
                envoy.running(wires.client, envoy.client(at_near, between, WAYPOINT_IP)),
                envoy.running(wires.server, envoy.server(at_far, between, PORTS)),
            )
            for end in ends:
                stack.enter_context(end)
            found.append(Contestant(name, wires, (waypoint,), SERVICE_IP))
        yield found


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    works = [work for work in WORKS if options.only in work.name]
    with contestants(options.contestants.split(",")) as running:
        memory = {one.name: one.memory(IDLE_CONNECTIONS) for one in running if options.memory}
        for number in range(options.rounds):
            for work in works:
                for contestant in running:
                    contestant.do(work, options.seconds)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for work in works:
            print_row(work, running)
        if memory:
            print_memory(memory)
        if options.paced:
            _pace(running, options)


def _pace(running: Sequence[Contestant], options: argparse.Namespace) -> None:
    """How long requests take at half of our own greatest rate."""
    ours = next(one for one in running if one.name == "sluice")
    rates = sorted(result["rate"] for result in ours.measured[WORKS[0].name])
    half = round(rates[len(rates) // 2] / 2)
    work = Work(f"{half} requests per second", ("paced", str(half)), "/s", 1, "us", 1e6)
    for _ in range(options.rounds):
        for contestant in running:
            contestant.do(work, options.seconds)
    print_row(work, running)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.waypoint", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per work, round, contestant")
    parser.add_argument("--only", default="", help="works whose name has this in it")
    parser.add_argument("--contestants", default="envoy,sluice")
    parser.add_argument("--no-memory", dest="memory", action="store_false")
    parser.add_argument("--no-paced", dest="paced", action="store_false")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
