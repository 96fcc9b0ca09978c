"""How much memory and time the state of a large cluster takes in a worker.

    .venv/bin/python bench/state.py [WORKLOADS]

One process makes the workloads and services and the packets of them, as the control process does;
a fresh one reads the packets as a worker does (decode, `World.steps`) and measures itself: growth
of its proportional share of memory (PSS) against that before the first packet, the time of all
packets, and of the slowest step, since a worker's connections wait for it.

The cluster: 100,000 pods of 20,000 deployments on 200 nodes in 50 namespaces, three zones; 2,000
services with two ports each, which 80 of 100 pods serve; each tenth pod is named by two policies.

What limits it. Memory, octets of each workload: 240 the object (25 fields, two words of its own,
two of the garbage collector), 102 its uid, 80 its name (a pod's is the end of its uid, but texts
of Python cannot share), 48 the address and 48 the tuple around it, 47 its place in the index by
address, 33 by uid, 25 as an endpoint; the rest is services, interned texts and the allocator. Below
600 the fields that a deployment's pods share would have to become one object, and the uid a
property. Time: three quarters of it are the reading of a packet, 25 fields at 0.4 us each. Steps:
indexes are dicts in 64 pieces, as one dict of 87,000 entries takes 10 ms to grow; a packet has at
most 128 resources; what a reset leaves behind is looked for a piece at a time.
"""

import argparse
import gc
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from mesh.model.address import Ip
from mesh.model.workload import (
    Locality,
    NetworkAddress,
    Port,
    Service,
    TunnelProtocol,
    Workload,
    WorkloadType,
)
from mesh.state.world import World
from mesh.wire.feed import StateDelta
from mesh.wire.feed_codec import decode, state_packets

NODES: Final = 200
NAMESPACES: Final = 50
SERVICES: Final = 2_000
DEPLOYMENTS: Final = 20_000
LENGTH: Final = struct.Struct("!I")
GOAL_OCTETS: Final = 600
GOAL_SECONDS: Final = 2.0
GOAL_STEP_SECONDS: Final = 0.005


def service_key(number: int) -> str:
    return f"team-{number % NAMESPACES}/web-{number}.team-{number % NAMESPACES}.svc.cluster.local"


def workloads(count: int) -> Iterator[Workload]:
    for number in range(count):
        deployment = number % DEPLOYMENTS
        service = deployment % SERVICES
        namespace = f"team-{service % NAMESPACES}"
        name = f"app-{deployment}-{deployment * 2654435761 % 2**32:08x}-{number:05x}"
        served = {service_key(service): (Port(80, 8080), Port(9090, 9090))}
        yield Workload(
            uid=f"Kubernetes//Pod/{namespace}/{name}",
            name=name,
            namespace=namespace,
            addresses=(Ip(bytes((10, number >> 16 & 255, number >> 8 & 255, number & 255))),),
            protocol=TunnelProtocol.HBONE,
            service_account=f"app-{deployment}",
            node=f"node-{number % NODES}.compute.internal",
            canonical_name=f"app-{deployment}",
            canonical_revision="v1",
            workload_type=WorkloadType.DEPLOYMENT,
            workload_name=f"app-{deployment}",
            locality=Locality("north", f"north-{'abc'[number % 3]}"),
            authorization_policies=(
                (f"{namespace}/allow-app", "istio-system/istio_converted_static_strict")
                if number % 10 == 0
                else ()
            ),
            services=served if number % 5 else {},
        )


def services() -> Iterator[Service]:
    for number in range(SERVICES):
        namespace, _, hostname = service_key(number).partition("/")
        vip = Ip(bytes((172, 20, number >> 8, number & 255)))
        yield Service(
            name=f"web-{number}",
            namespace=namespace,
            hostname=hostname,
            addresses=(NetworkAddress("", vip),),
            ports=(Port(80, 8080), Port(9090, 9090)),
            canonical=True,
        )


def write(target: IO[bytes], count: int) -> None:
    """All packets, each after its length."""
    every = StateDelta(1, True, True, tuple(workloads(count)), tuple(services()))
    for packet in state_packets(every):
        target.write(LENGTH.pack(len(packet)) + packet)


def read(source: IO[bytes]) -> Iterator[bytes]:
    while head := source.read(LENGTH.size):
        yield source.read(LENGTH.unpack(head)[0])


def memory() -> int:
    """This process's proportional share, in octets."""
    text = Path("/proc/self/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise SystemExit("the kernel does not tell PSS")
    return int(found[1]) * 1024


def load(source: IO[bytes]) -> None:
    """Be a worker."""
    gc.set_threshold(20_000, 20, 1_000)  # as mesh.runtime.worker.process
    world = World()
    gc.collect()
    before = memory()
    spent: list[float] = []
    size = 0
    for packet in read(source):
        size += len(packet)
        start = time.perf_counter()
        message = decode(packet)
        if not isinstance(message, StateDelta):
            raise SystemExit("not a part of a state")
        for _changes in world.steps(message):
            spent.append(time.perf_counter() - start)
            start = time.perf_counter()
        spent.append(time.perf_counter() - start)
        if message.last:
            gc.freeze()
    grown = memory() - before
    counts = world.counts
    spent.sort()
    print(f"steps      {len(spent)}, {size / max(counts.workloads, 1):.0f} octets per workload")
    print(
        f"memory     {grown / max(counts.workloads, 1):.0f} octets per workload, goal {GOAL_OCTETS}"
    )
    print(f"time       {sum(spent):.2f} s, goal {GOAL_SECONDS}")
    print(
        f"step       {spent[-1] * 1000:.1f} ms the slowest, {spent[-len(spent) // 100] * 1000:.1f} "
        f"ms one of a hundred, goal {GOAL_STEP_SECONDS * 1000:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workloads", nargs="?", type=int, default=100_000)
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.load:
        load(sys.stdin.buffer)
        return
    with tempfile.TemporaryFile() as packets:
        write(packets, asked.workloads)
        packets.seek(0)
        subprocess.run([sys.executable, __file__, "--load"], stdin=packets, check=True)


if __name__ == "__main__":
    main()
