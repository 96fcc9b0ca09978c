"""Ours against Envoy on the same work: `make bench`, or `python -m bench.run --help`.

Rounds are interleaved: each work is done by every contestant before the next round begins, and a
ratio is made of two neighbours of one round, so that what the machine does meanwhile hits both.
Ratios are given as median (least..most of all rounds). Absolute numbers belong to the machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import envoy, sluice
from bench.namespaces import REQUEST_PORT, SERVER_IP, SINK_PORT, Cable, cable
from bench.processes import Started, cpu_seconds, pss_octets
from tests.pki import Authority

PORTS: Final = (REQUEST_PORT, SINK_PORT)
IDLE_CONNECTIONS: Final = 1000
TIMES: Final = frozenset({"p50_us", "p99_us"})
GROWING: Final = (1, 8, 32, 128, 512)


@dataclass(frozen=True, slots=True)
class Work:
    """One row of the table."""

    name: str
    words: tuple[str, str]
    unit: str
    scale: float
    per: str
    """What one unit of the total is, for the CPU column."""
    per_scale: float


WORKS: Final = (
    Work("bulk, 1 stream", ("bulk", "1"), "GB/s", 1e-9, "s/GB", 1e9),
    Work("bulk, 8 streams", ("bulk", "8"), "GB/s", 1e-9, "s/GB", 1e9),
    Work("requests, 32 connections", ("requests", "32"), "/s", 1, "us", 1e6),
    Work("requests, 128 connections", ("requests", "128"), "/s", 1, "us", 1e6),
    Work("requests, 1 connection", ("requests", "1"), "/s", 1, "us", 1e6),
    Work("new connections, 32 at a time", ("connects", "32"), "/s", 1, "us", 1e6),
)


@dataclass(slots=True)
class Contestant:
    """A cable, and the proxies that are measured (none for `direct`)."""

    name: str
    cable: Cable
    proxies: tuple[Started, ...]
    target: str = SERVER_IP
    measured: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def do(self, work: Work, seconds: float) -> None:
        """One round of one work.

        Raises:
            RuntimeError: the load failed; the message has what it said.
        """
        before = sum(cpu_seconds(proxy.pid) for proxy in self.proxies)
        done = subprocess.run(
            sluice.python(self.cable.client, "bench.load", *work.words, str(seconds)),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 30,
            env=self._environ(),
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}, {work.name}: {done.stderr[-2000:]}")
        result: dict[str, float] = json.loads(done.stdout)
        used = sum(cpu_seconds(proxy.pid) for proxy in self.proxies) - before
        result["cpu"] = used / max(1, result["total"])
        self.measured.setdefault(work.name, []).append(result)

    def _environ(self) -> dict[str, str]:
        return {**os.environ, "BENCH_TARGET": self.target}

    def _holding(self, connections: int) -> Started:
        words = ("bench.load", "idle", str(connections))
        return Started(sluice.python(self.cable.client, *words), env=self._environ())

    def memory(self, connections: int) -> dict[str, float]:
        """Octets (PSS) of the first proxy: at rest, and for each idle connection through it."""
        rest = pss_octets(self.proxies[0].pid)
        holder = self._holding(connections)
        try:
            holder.wait_line("holding", 60)
            held = pss_octets(self.proxies[0].pid)
        finally:
            holder.stop()
        return {"rest": rest, "each": (held - rest) / connections}

    def crowded(self, work: Work, seconds: float, crowd: int, rounds: int) -> list[float]:
        """The rate with `crowd` idle connections beside the work, as a share of that without."""
        shares = []
        for _ in range(rounds):
            self.do(work, seconds)
            holder = self._holding(crowd)
            try:
                holder.wait_line("holding", 120)
                self.do(work, seconds)
            finally:
                holder.stop()
            alone, beside = self.measured[work.name][-2:]
            shares.append(beside["rate"] / alone["rate"])
        return shares


@contextmanager
def contestants(names: Sequence[str]) -> Iterator[list[Contestant]]:
    """Start them all, each on its own cable with its own application."""
    authority = Authority()
    near, far = authority.identity("bench", "client"), authority.identity("bench", "server")
    with ExitStack() as stack:
        found = []
        for name in names:
            wires = stack.enter_context(cable(name, redirect=name != "direct"))
            application = Started(sluice.python(wires.server, "bench.load", "serve"))
            stack.callback(application.stop)
            application.wait_line("serving")
            # A proxy at each end; certificates are made anew, the identities are the same for all.
            at_far, at_near = authority.issue(far), authority.issue(near)
            match name:
                case "envoy":
                    ends = (
                        envoy.running(wires.client, envoy.client(at_near, far)),
                        envoy.running(wires.server, envoy.server(at_far, near, PORTS)),
                    )
                case "sluice":
                    pods = sluice.world(near, far)
                    ends = (
                        sluice.running(wires.client, near, at_near, pods),
                        sluice.running(wires.server, far, at_far, pods),
                    )
                case _:
                    ends = ()
            proxies = tuple(stack.enter_context(end) for end in ends)
            found.append(Contestant(name, wires, proxies))
        yield found


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    works = [work for work in WORKS if not options.only or options.only in work.name]
    print(f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}, "
          f"Python {platform.python_version()}")  # fmt: skip
    with contestants(options.contestants.split(",")) as running:
        if options.crowd:
            _crowd(running, options)
        elif options.grow:
            _grow(running, options)
        else:
            _compare(running, works, options)
    if options.json:
        measured = {one.name: one.measured for one in running}
        Path(options.json).write_text(json.dumps(measured, indent=1))


def _compare(
    running: Sequence[Contestant], works: Sequence[Work], options: argparse.Namespace
) -> None:
    """The table: every work, every contestant, round after round."""
    memory = {}
    if options.memory:  # before any work: what a busy proxy has allocated it seldom gives back
        memory = {one.name: one.memory(IDLE_CONNECTIONS) for one in running if one.proxies}
    for number in range(options.rounds):
        for work in works:
            for contestant in running:
                contestant.do(work, options.seconds)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    for work in works:
        print_row(work, running)
    if memory:
        print_memory(memory)


def _crowd(running: Sequence[Contestant], options: argparse.Namespace) -> None:
    """Does the cost stay flat as idle connections grow?"""
    work = Work("requests, 32 connections", ("requests", "32"), "/s", 1, "us", 1e6)
    for one in running:
        shares = one.crowded(work, options.seconds, options.crowd, options.rounds)
        print(f"{one.name:8} {work.name} beside {options.crowd} idle ones: {_spread(shares)} "
              "of the rate without")  # fmt: skip


def _grow(running: Sequence[Contestant], options: argparse.Namespace) -> None:
    """Each contestant against itself at growing work."""
    works = [
        Work(f"requests, {width} connections", ("requests", str(width)), "/s", 1, "us", 1e6)
        for width in GROWING
    ]
    _compare(running, works, options)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per work, round, contestant")
    parser.add_argument("--only", default="", help="works whose name has this in it")
    parser.add_argument("--contestants", default="direct,envoy,sluice")
    parser.add_argument("--crowd", type=int, default=0, help="only: idle connections beside 32")
    parser.add_argument("--grow", action="store_true", help="only: 1 to 512 connections")
    parser.add_argument("--no-memory", dest="memory", action="store_false")
    parser.add_argument("--json", default="", help="where to write every single number")
    return parser.parse_args(arguments)


def print_row(work: Work, running: Sequence[Contestant]) -> None:
    """A work's rates, and the ratios of ours to Envoy's."""
    print(work.name)
    for one in running:
        results = one.measured[work.name]
        rate = _spread([result["rate"] * work.scale for result in results])
        line = f"  {one.name:8} {rate} {work.unit}"
        if one.proxies:
            cpu = _spread([result["cpu"] * work.per_scale for result in results])
            line += f"; CPU {cpu} {work.per}"
        for key in sorted(TIMES & results[0].keys()):
            line += f"; {key[:3]} {_spread([result[key] for result in results])} us"
        if any(result.get("failed") for result in results):
            line += f"; FAILED {sum(int(result['failed']) for result in results)}"
        print(line)
    by_name = {one.name: one.measured[work.name] for one in running}
    if {"envoy", "sluice"} <= by_name.keys():
        keys = ["rate", "cpu", *sorted(TIMES & by_name["envoy"][0].keys())]
        pairs = list(zip(by_name["sluice"], by_name["envoy"], strict=True))
        ratios = [f"{key} {_spread([us[key] / them[key] for us, them in pairs])}" for key in keys]
        print(f"  sluice / envoy: {', '.join(ratios)}")


def print_memory(memory: dict[str, dict[str, float]]) -> None:
    """What `Contestant.memory` found, for each."""
    print(f"memory of the first proxy (PSS); each of {IDLE_CONNECTIONS} idle connections")
    for name, found in memory.items():
        print(f"  {name:8} {found['rest'] / 1e6:.1f} MB; {found['each'] / 1024:.1f} KiB")


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}..{max(values):.3g})"


if __name__ == "__main__":
    main(sys.argv[1:])
