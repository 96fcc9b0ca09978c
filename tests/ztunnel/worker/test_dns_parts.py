"""The parts of a pod's DNS server that need no pod."""

from pathlib import Path

import dns.message
import dns.rrset

from mesh.model.address import SocketAddress
from mesh.wire.dns import read_question
from ztunnel.worker.dns_cache import MOST_OCTETS, Cache
from ztunnel.worker.dns_servers import LOOK_SECONDS, Servers, servers_of


def asked(name: str, number: int = 1) -> bytes:
    return dns.message.make_query(name, "A", id=number).to_wire()


def told(query: bytes, ttl: int = 60, count: int = 1) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(query))
    ips = [
        f"192.0.2.{i % 250}" if count < 250 else f"10.0.{i >> 8}.{i & 255}" for i in range(count)
    ]
    made.answer.append(dns.rrset.from_text(made.question[0].name, ttl, "IN", "A", *ips))
    return made.to_wire()


def keep(cache: Cache, query: bytes, response: bytes, now: float = 0.0) -> None:
    cache.keep(query, read_question(query), response, now, is_stream=False)


def test_a_kept_answer_grows_old_and_goes() -> None:
    cache = Cache()
    keep(cache, asked("a.example."), told(asked("a.example.")))
    later = cache.find(asked("a.example.", 77), 50.5, is_stream=False)
    assert later is not None
    message = dns.message.from_wire(later)
    assert (message.id, message.answer[0].ttl) == (77, 10)
    assert cache.find(asked("a.example."), 60.0, is_stream=False) is None
    assert len(cache) == 0


def test_only_the_same_query_by_the_same_way_has_it() -> None:
    cache = Cache()
    keep(cache, asked("a.example."), told(asked("a.example.")))
    assert cache.find(asked("A.example."), 1.0, is_stream=False) is None
    assert cache.find(asked("a.example."), 1.0, is_stream=True) is None
    with_edns = dns.message.make_query("a.example.", "A", id=1, use_edns=0).to_wire()
    assert cache.find(with_edns, 1.0, is_stream=False) is None


def test_it_is_bounded_and_forgets_what_was_not_asked_for_longest() -> None:
    cache = Cache(2)
    for name in ("a.example.", "b.example."):
        keep(cache, asked(name), told(asked(name)))
    assert cache.find(asked("a.example."), 1.0, is_stream=False)
    keep(cache, asked("c.example."), told(asked("c.example.")))
    assert cache.find(asked("b.example."), 1.0, is_stream=False) is None
    assert len(cache) == 2
    large = told(asked("d.example."), count=400)
    assert len(large) > MOST_OCTETS
    keep(cache, asked("d.example."), large)
    assert cache.find(asked("d.example."), 1.0, is_stream=False) is None


def test_servers_are_those_of_the_file_at_most_three() -> None:
    text = "# x\nnameserver 10.0.0.1\nnameserver fd00::1\nnameserver here\nnameserver\n"
    v4, v6 = SocketAddress.parse("10.0.0.1:53"), SocketAddress.parse("[fd00::1]:53")
    assert servers_of(text) == (v4, v6)
    assert len(servers_of("nameserver 10.0.0.1\n" * 9)) == 3
    assert servers_of("") == ()


def test_the_file_is_read_again_and_what_was_known_outlives_it(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = Servers((), path)
    assert servers.now(0.0) == ()
    path.write_text("nameserver 10.0.0.1\n")
    assert servers.now(1.0) == ()
    found = servers.now(LOOK_SECONDS)
    assert found == (SocketAddress.parse("10.0.0.1:53"),)
    path.unlink()
    assert servers.now(2 * LOOK_SECONDS) == found
    given = (SocketAddress.parse("10.0.0.9:53"),)
    assert Servers(given, path).now(0.0) == given
