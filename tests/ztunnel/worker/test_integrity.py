"""Nothing is lost, doubled or out of order, however both sides cut and pause and end.

`RELAY_OCTETS` is how much goes through in all: more for a long search by hand.
"""

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from tests.ztunnel.worker.town import Town

pytestmark = [pytest.mark.netns, pytest.mark.slow]
OCTETS = int(os.environ.get("RELAY_OCTETS", str(1 << 30)))
STOCK = memoryview(Random(1).randbytes(4 << 20))
PAUSE = threading.Event()


def chunks(chance: Random, octets: int) -> Iterator[memoryview]:
    """Pieces of all sizes, mostly large; a seed gives the same ones again."""
    while octets:
        most = chance.choice((1, 100, 17_000, 300_000, 1_000_000, 1_000_000))
        size = min(octets, chance.randint(1, most))
        start = chance.randrange(len(STOCK) - size)
        yield STOCK[start : start + size]
        octets -= size


def send(end: socket.socket, chance: Random, octets: int) -> str:
    """Send with pauses, then end this direction; the hash of what was sent."""
    digest = hashlib.sha256()
    for chunk in chunks(chance, octets):
        digest.update(chunk)
        end.sendall(chunk)
        if chance.random() < 0.01:
            PAUSE.wait(chance.random() / 50)
    end.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def receive(end: socket.socket, chance: Random) -> str:
    """Receive up to the end, with pauses; the hash of what came."""
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    while size := end.recv_into(buffer, chance.choice((1, 5_000, 1 << 18, 1 << 20))):
        digest.update(memoryview(buffer)[:size])
        if chance.random() < 0.01:
            PAUSE.wait(chance.random() / 50)
    return digest.hexdigest()


def both(end: socket.socket, seed: int, octets: int) -> tuple[str, str]:
    """Send and receive at the same time: the hashes of what was sent and of what came."""
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(send, end, Random(seed), octets)
        came = receive(end, Random(-seed))
        return sent.result(), came


@pytest.mark.timeout(600)
def test_everything_arrives_once_and_in_order(place: Town) -> None:
    shop, web = place.pod("shop"), place.pod("web")
    pairs = [(up, down) for up in (0.0, 0.1, 0.9, 1.0) for down in (0.2, 1.0)]
    unit = OCTETS / sum(up + down for up, down in pairs)
    told: dict[int, tuple[str, str]] = {}
    answered = threading.Barrier(len(pairs) + 1)

    def serve(accepted: socket.socket) -> None:
        number = accepted.recv(1)[0]
        told[number] = both(accepted, 100 + number, int(pairs[number][1] * unit))
        answered.wait(300)

    def call(number: int) -> tuple[str, str]:
        with web.dial(shop.ip, 8080) as client:
            client.settimeout(60)
            client.sendall(bytes([number]))
            return both(client, 200 + number, int(pairs[number][0] * unit))

    with shop.serving(8080, serve), ThreadPoolExecutor(len(pairs)) as threads:
        heard = list(threads.map(call, range(len(pairs))))
        answered.wait(300)

    for number, (sent, came) in enumerate(heard):
        assert told[number] == (came, sent), pairs[number]
