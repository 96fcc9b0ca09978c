"""Our waypoint with 1,000 routes against itself with one: `python -m bench.waypoint_routes`.

The routes are all of one service port, with ten rules each. Rounds are interleaved. Then one route
is changed again and again: how long until a request feels it, while requests come without pause.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from bench import envoy, sluice
from bench.namespaces import REQUEST_PORT, SERVICE_IP, WAYPOINT_IP, Cable, cable_with_waypoint
from bench.run import Contestant, Work
from tests.pki import Authority

ROUTES: Final = 1000
RULES: Final = 10
WORK: Final = Work("requests, 32 connections", ("requests", "32"), "/s", 1, "us", 1e6)


@contextmanager
def waypoint() -> Iterator[tuple[Cable, sluice.Worker]]:
    """One waypoint between Envoys, with an application behind it."""
    authority = Authority()
    near, between, far = (authority.identity("bench", name) for name in ("near", "edge", "far"))
    with ExitStack() as stack:
        wires = stack.enter_context(cable_with_waypoint("routes"))
        application = sluice.Started(sluice.python(wires.server, "bench.load", "serve"))
        stack.callback(application.stop)
        application.wait_line("serving")
        middle = sluice.waypoint(
            wires.waypoint, between, authority.issue(between), far, (REQUEST_PORT,)
        )
        worker = stack.enter_context(middle)
        for end in (
            envoy.running(wires.client, envoy.client(authority.issue(near), between, WAYPOINT_IP)),
            envoy.running(
                wires.server, envoy.server(authority.issue(far), between, (REQUEST_PORT,))
            ),
        ):
            stack.enter_context(end)
        yield wires, worker


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("bench.waypoint_routes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--changes", type=int, default=200)
    options = parser.parse_args(arguments)
    taken = sluice.route("taken", sluice.SERVICE_KEY)
    others = [
        sluice.route(f"other-{number}", sluice.SERVICE_KEY, rules=RULES, value=f"other-{number}")
        for number in range(ROUTES - 1)
    ]
    with waypoint() as (wires, worker):
        contestant = Contestant("sluice", wires, (worker.process,), SERVICE_IP)
        ratios = []
        for _ in range(options.rounds):
            worker.only([taken])
            contestant.do(WORK, options.seconds)
            worker.change(others)
            contestant.do(WORK, options.seconds)
            one, many = contestant.measured[WORK.name][-2:]
            ratios.append(many["rate"] / one["rate"])
        spread = f"{statistics.median(ratios):.3g} ({min(ratios):.3g}..{max(ratios):.3g})"
        print(f"{ROUTES} routes of {RULES} rules to one route, requests/s: {spread}")
        took = statistics.quantiles(_changes(wires, worker, options.changes), n=100)
        times = f"p50 {took[49] * 1e3:.3g} ms, p99 {took[98] * 1e3:.3g} ms"
        print(f"change of one of {ROUTES} routes to its first effect: {times}")


def _changes(wires: Cable, worker: sluice.Worker, count: int) -> Iterator[float]:
    """Seconds from telling a change to the first answer that has it."""
    probe = subprocess.Popen(
        sluice.python(wires.client, "bench.waypoint_routes", "probe"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with probe:
        if probe.stdin is None or probe.stdout is None:
            raise RuntimeError("no pipes")
        for number in range(count):
            probe.stdin.write(f"{number}\n")
            probe.stdin.flush()
            probe.stdout.readline()  # it asks
            begins = time.monotonic()
            worker.change([sluice.route("taken", sluice.SERVICE_KEY, told=str(number))])
            yield float(probe.stdout.readline()) - begins
        probe.stdin.close()


def probe() -> None:
    """Ask without pause; tell when the first answer came that names the number that was read."""
    request = b"GET / HTTP/1.1\r\nhost: bench\r\nx-bench: match\r\n\r\n"
    with socket.create_connection((SERVICE_IP, REQUEST_PORT), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for line in sys.stdin:
            wanted = f"x-told: {line.strip()}\r\n".encode()
            print("asks", flush=True)
            answer = b""
            while wanted not in answer:
                sock.sendall(request)
                answer = sock.recv(4096)
            print(time.monotonic(), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["probe"]:
        probe()
    else:
        main(sys.argv[1:])
