"""One bulk stream over a long link, through two of our workers and without them.

    ./scripts/private-namespace .venv/bin/python -m bench.long_link [--delay 10] [--megabits 1000]

The link has `delay` milliseconds each way (20 ms there and back). The kernel's netem makes it where
there is one, else `bench.delay_line`; each number is measured where the octets arrive, after the
first seconds. The windows of the tunnel begin far too small for such a link: what is tried is that
they grow (`mesh/wire/http2/flow.py`).
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench import sluice
from bench.load import CHUNK
from bench.namespaces import CLIENT_IP, SERVER_IP, SINK_PORT, Cable, cable, run
from bench.processes import Started
from tests.pki import Authority

MTU: Final = 9000
WARM_SECONDS: Final = 2.0


def swallow() -> None:
    """Read connections one after another; print the rate of each after its first seconds."""
    buffer = bytearray(1024 * 1024)
    with socket.create_server((SERVER_IP, SINK_PORT)) as listener:
        print("serving", flush=True)
        while True:
            sock, _ = listener.accept()
            with sock:
                print(json.dumps({"rate": _rate(sock, buffer)}), flush=True)


def _rate(sock: socket.socket, buffer: bytearray) -> float:
    begins = time.perf_counter() + WARM_SECONDS
    counted, last = 0, begins
    while got := sock.recv_into(buffer):
        if (now := time.perf_counter()) >= begins:
            counted, last = counted + got, now
    return counted / max(0.001, last - begins)


def send(seconds: float) -> None:
    """Send as much as goes."""
    with socket.create_connection((SERVER_IP, SINK_PORT), timeout=10) as sock:
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            sock.send(CHUNK)


@contextmanager
def long_cable(name: str, delay: float, megabits: float, *, redirect: bool) -> Iterator[Cable]:
    """A cable whose packets take their time."""
    with cable(name, redirect=redirect) as pair, ExitStack() as stack:
        if not _netem(pair, delay, megabits):
            stack.enter_context(_by_hand(name, pair, delay, megabits))
        yield pair


def _netem(pair: Cable, delay: float, megabits: float) -> bool:
    """Let the kernel do it; False when it cannot."""
    words = (
        "root",
        "netem",
        "delay",
        f"{delay:g}ms",
        "rate",
        f"{megabits:g}mbit",
        "limit",
        "100000",
    )
    for namespace in (pair.client, pair.server):
        command = ["tc", "-n", namespace, "qdisc", "add", "dev", "eth0", *words]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return False
    return True


@contextmanager
def _by_hand(name: str, pair: Cable, delay: float, megabits: float) -> Iterator[None]:
    run("ip", "-n", pair.client, "link", "delete", "eth0")
    names = (f"{name[:10]}-n", f"{name[:10]}-f")
    line = Started(
        [sys.executable, "-m", "bench.delay_line", *names, f"{delay:g}", f"{megabits:g}"]
    )
    try:
        line.wait_line("carrying")
        ends = zip(names, (pair.client, pair.server), (CLIENT_IP, SERVER_IP), strict=True)
        for device, namespace, address in ends:
            run("ip", "link", "set", device, "netns", namespace, "name", "eth0")
            run(
                "ip", "-n", namespace, "link", "set", "eth0", "txqueuelen", "20000", "mtu", str(MTU)
            )
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", namespace, "link", "set", "eth0", "up")
        yield
    finally:
        line.stop()


@contextmanager
def contestants(delay: float, megabits: float) -> Iterator[dict[str, tuple[Cable, Started]]]:
    """`direct` and `sluice`, each with a link and a sink of its own."""
    authority = Authority()
    near, far = authority.identity("bench", "client"), authority.identity("bench", "server")
    pods = sluice.world(near, far)
    with ExitStack() as stack:
        found = {}
        for name in ("direct", "sluice"):
            wires = long_cable(f"long-{name}", delay, megabits, redirect=name == "sluice")
            pair = stack.enter_context(wires)
            sink = Started(sluice.python(pair.server, "bench.long_link", "swallow"))
            stack.callback(sink.stop)
            sink.wait_line("serving")
            if name == "sluice":
                ends = ((pair.client, near), (pair.server, far))
                for namespace, us in ends:
                    worker = sluice.running(namespace, us, authority.issue(us), pods)
                    stack.enter_context(worker)
            found[name] = pair, sink
        yield found


def measure(pair: Cable, sink: Started, seconds: float) -> float:
    """Octets per second that arrive."""
    said = len(sink.lines)
    subprocess.run(
        sluice.python(pair.client, "bench.long_link", "send", f"{WARM_SECONDS + seconds:g}"),
        check=True,
        timeout=seconds + 60,
    )
    line = sink.wait_for(lambda line: "rate" in line, said, 30)
    return float(json.loads(line)["rate"])


def main() -> None:
    """Print the rates of each round, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--delay", type=float, default=10, help="milliseconds each way")
    parser.add_argument("--megabits", type=float, default=1000, help="what the link carries")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    chosen = parser.parse_args()
    ratios = []
    with contestants(chosen.delay, chosen.megabits) as found:
        for _ in range(chosen.rounds):
            rates = {name: measure(*each, chosen.seconds) for name, each in found.items()}
            ratios.append(rates["sluice"] / rates["direct"])
            told = ", ".join(f"{name} {rate / 1e6:.1f} MB/s" for name, rate in rates.items())
            print(f"{told}: {ratios[-1]:.2f}", flush=True)
    spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
    print(f"sluice / direct: {statistics.median(ratios):.2f} ({spread})")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["swallow"]:
            swallow()
        case ["send", seconds]:
            send(float(seconds))
        case _:
            main()
