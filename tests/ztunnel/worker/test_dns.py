"""15053 as applications see it: names of the mesh, and all the others, byte for byte."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from mesh.model.address import parse_ip
from mesh.model.workload import Port
from mesh.redirection.rules import Capture
from mesh.runtime.capture import capture_pod
from mesh.runtime.netns import inside
from mesh.wire.dns import with_id
from tests.ztunnel.worker.town import ADDRESSES, OUTSIDE, SECONDS, Town, TownPod, town

pytestmark = [pytest.mark.netns, pytest.mark.slow]

SERVERS = ADDRESSES[OUTSIDE]
"""The upstream: its IPv4 address first, then its IPv6 one."""
RESOLVER = "203.0.113.53"
"""Whom applications ask: nobody is there, the rules bring it to the proxy."""

Reply = Callable[[bytes], list[bytes]]


class Upstream:
    """A DNS server, as good or bad as a test wants, over UDP and TCP."""

    def __init__(self, pod: TownPod, host: str) -> None:
        self.begin()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with inside(pod.netns):
            self._datagrams = socket.socket(family, socket.SOCK_DGRAM)
            self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._datagrams.bind((host, 53))
        self._listener.bind((host, 53))
        self._listener.listen(64)
        serves = (self._serve_datagrams, self._serve_streams)
        self._threads = [threading.Thread(target=serve, daemon=True) for serve in serves]
        for thread in self._threads:
            thread.start()

    def begin(self) -> None:
        """Be good, and forget everything."""
        self.seen: list[bytes] = []
        self.ports: list[int] = []
        self.reply: Reply = lambda query: [answer(query, "192.0.2.80")]
        self.stream_reply: Reply = lambda query: [answer(query, "192.0.2.81")]

    def _serve_datagrams(self) -> None:
        while True:
            query, client = self._datagrams.recvfrom(65_535)
            if not query:
                return
            self.seen.append(query)
            self.ports.append(client[1])
            for each in self.reply(query):
                self._datagrams.sendto(each, client)

    def _serve_streams(self) -> None:
        while True:
            accepted, _ = self._listener.accept()
            with accepted:
                length = int.from_bytes(accepted.recv(2))
                if not length:
                    return
                query = accepted.recv(length)
                for each in self.stream_reply(query):
                    accepted.sendall(len(each).to_bytes(2) + each)

    def close(self, pod: TownPod, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with inside(pod.netns):
            ending = socket.socket(family, socket.SOCK_DGRAM)
            last = socket.create_connection((host, 53), SECONDS)
        ending.sendto(b"", (host, 53))
        ending.close()
        last.close()
        for thread in self._threads:
            thread.join(SECONDS)
        self._datagrams.close()
        self._listener.close()


def answer(query: bytes, *ips: str, rcode: int = 0) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    made.set_rcode(dns.rcode.Rcode(rcode))
    if ips:
        made.answer.append(dns.rrset.from_text(made.question[0].name, 0, "IN", "A", *ips))
    return made.to_wire()


@pytest.fixture(scope="module")
def built() -> Iterator[Town]:
    servers = f"{SERVERS[0]},{SERVERS[1]}"
    with town(SLUICE_DNS_SERVERS=servers, RUST_LOG="info,dns=debug") as made:
        capture_pod(made.pod("web").netns, Capture(dns=True))
        yield made


@pytest.fixture
def place(built: Town) -> Town:
    built.tell()
    return built


@pytest.fixture
def upstreams(serving: list[Upstream]) -> list[Upstream]:
    for each in serving:
        each.begin()
    return serving


@pytest.fixture(scope="module")
def serving(built: Town) -> Iterator[list[Upstream]]:
    outside = built.pod(OUTSIDE)
    made = [Upstream(outside, host) for host in SERVERS]
    yield made
    for each, host in zip(made, SERVERS, strict=True):
        each.close(outside, host)


class Client:
    """An application of a pod."""

    def __init__(self, pod: TownPod) -> None:
        self._pod = pod

    def ask(self, name: str, kind: str = "A", **words: object) -> dns.message.Message:
        return dns.message.from_wire(self.raw(query(name, kind, **words)))

    def raw(self, octets: bytes, *, to: str = RESOLVER) -> bytes:
        with self.datagram(to) as asking:
            asking.send(octets)
            return asking.recv(65_535)

    def datagram(self, to: str = RESOLVER) -> socket.socket:
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        with inside(self._pod.netns):
            made = socket.socket(family, socket.SOCK_DGRAM)
        made.settimeout(SECONDS)
        made.connect((to, 53))
        return made

    def stream(self, *octets: bytes, to: str = RESOLVER) -> list[bytes]:
        with self._pod.dial(to, 53) as connection:
            for each in octets:
                connection.sendall(len(each).to_bytes(2) + each)
            connection.shutdown(socket.SHUT_WR)
            got = b""
            while part := connection.recv(65_535):
                got += part
        answers = []
        while got:
            end = 2 + int.from_bytes(got[:2])
            answers.append(got[2:end])
            got = got[end:]
        return answers


def query(name: str, kind: str = "A", **words: object) -> bytes:
    return dns.message.make_query(name, kind, id=0x4242, **words).to_wire()  # type: ignore[arg-type]


@pytest.fixture
def web(place: Town) -> Client:
    _route_everything(place.pod("web"))
    return Client(place.pod("web"))


def _route_everything(pod: TownPod) -> None:
    with inside(pod.netns):
        for version, network in (("-4", "203.0.113.0/24"), ("-6", "2001:db8::/64")):
            words = ("ip", version, "route", "replace", network, "dev", "eth0")
            subprocess.run(words, check=True)


def addresses(message: dns.message.Message) -> list[str]:
    return sorted(record.address for rrset in message.answer for record in rrset)


def shop_is_known(place: Town) -> None:
    made, pods = place.service("shop", "10.80.0.1", "shop")
    place.tell(pods, [made])


def test_a_name_of_the_mesh_is_answered_here(place: Town, web: Client) -> None:
    shop_is_known(place)
    for name in ("shop", "shop.town", "shop.town.svc", "shop.town.svc.cluster.local"):
        assert addresses(web.ask(name)) == ["10.80.0.1"]
    told = web.ask("shop", "AAAA")
    assert (told.rcode(), told.answer) == (dns.rcode.NOERROR, [])
    assert told.flags & dns.flags.AA


@pytest.mark.parametrize("resolver", [RESOLVER, "2001:db8::53"])
def test_over_both_families_udp_and_tcp(place: Town, web: Client, resolver: str) -> None:
    shop_is_known(place)
    asked = query("shop.town.svc.cluster.local")
    answers = [web.raw(asked, to=resolver), *web.stream(asked, asked, to=resolver)]
    assert [addresses(dns.message.from_wire(each)) for each in answers] == [["10.80.0.1"]] * 3


def test_a_long_answer_is_cut_off_over_udp_and_whole_over_tcp(place: Town, web: Client) -> None:
    hostname = "many.town.svc.cluster.local"
    made, _ = place.service("many", "10.80.0.2")
    key = made.key
    ports = (Port(80, 80),)
    everyone = [
        place.pod("shop").workload(
            uid=f"many-{i}", name=f"many-{i}", addresses=(parse_ip(f"10.81.0.{i}"),),
            services={key: ports},
        )
        for i in range(1, 101)
    ]  # fmt: skip
    place.tell(everyone, [replace(made, addresses=())])
    short = web.ask(hostname)
    assert short.flags & dns.flags.TC
    assert len(addresses(dns.message.from_wire(web.stream(query(hostname))[0]))) == 100
    assert len(addresses(web.ask(hostname, use_edns=0, payload=4096))) == 100
    assert addresses(web.ask(f"many-7.{hostname}")) == ["10.81.0.7"]


def test_other_names_go_to_the_server_and_come_back_byte_for_byte(
    upstreams: list[Upstream], web: Client
) -> None:
    odd = dns.edns.GenericOption(dns.edns.OptionType(65_001), b"whatever")
    asked = query("Out.Example.COM.", "TYPE65280", use_edns=0, want_dnssec=True, options=[odd])
    upstreams[0].reply = lambda sent: [answer(sent)[:-4] + b"\0\0\0\0" + b"trailing"]
    told = web.raw(asked)
    assert upstreams[0].seen[-1][2:] == asked[2:]
    wanted = answer(with_id(asked, 0x4242))[:-4] + b"\0\0\0\0" + b"trailing"
    assert told == wanted


def test_a_large_answer_and_a_cut_off_one_pass_and_so_does_tcp(
    upstreams: list[Upstream], web: Client
) -> None:
    many = [f"10.9.{i // 250}.{i % 250}" for i in range(2000)]
    upstreams[0].reply = lambda sent: [answer(sent, *many)]
    assert len(addresses(web.ask("out.example"))) == 2000

    def cut(sent: bytes) -> list[bytes]:
        octets = bytearray(answer(sent))
        octets[2] |= 2
        return [bytes(octets)]

    upstreams[0].reply = cut
    assert web.ask("cut.example").flags & dns.flags.TC
    told = web.stream(query("cut.example"))[0]
    assert addresses(dns.message.from_wire(told)) == ["192.0.2.81"]


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOTIMP, dns.rcode.SERVFAIL])
def test_what_servers_say_is_said(
    upstreams: list[Upstream], web: Client, rcode: dns.rcode.Rcode
) -> None:
    for each in upstreams:
        each.reply = lambda sent: [answer(sent, rcode=rcode)]
    assert web.ask("none.example").rcode() == rcode


def test_ids_and_ports_are_new_for_every_query(upstreams: list[Upstream], web: Client) -> None:
    for _ in range(8):
        web.ask("out.example")
    seen = upstreams[0].seen + upstreams[1].seen
    assert len({each[:2] for each in seen}) > 5
    assert len(set(upstreams[0].ports + upstreams[1].ports)) > 5


def test_lies_are_passed_over_and_the_truth_is_waited_for(
    upstreams: list[Upstream], web: Client
) -> None:
    def lie(sent: bytes) -> list[bytes]:
        wrong_id = with_id(answer(sent, "192.0.2.66"), int.from_bytes(sent[:2]) ^ 1)
        wrong_name = answer(sent[:2] + query("else.example")[2:], "192.0.2.66")
        return [wrong_id, wrong_name, sent, b"", b"\0", answer(sent, "192.0.2.80")]

    for each in upstreams:
        each.reply = lie
    assert addresses(web.ask("out.example")) == ["192.0.2.80"]


def test_a_silent_server_hurts_its_own_query_only(
    place: Town, upstreams: list[Upstream], web: Client
) -> None:
    shop_is_known(place)
    for each in upstreams:
        each.reply = lambda sent: [] if b"slow" in sent else [answer(sent, "192.0.2.80")]
    with web.datagram() as slow:
        slow.send(query("slow.example"))
        began = time.monotonic()
        assert addresses(web.ask("out.example")) == ["192.0.2.80"]
        assert addresses(web.ask("shop")) == ["10.80.0.1"]
        assert time.monotonic() - began < 1
        told = dns.message.from_wire(slow.recv(65_535))
    assert told.rcode() == dns.rcode.SERVFAIL
    assert place.line("near", scope="dns", code="dns_unanswered")


def test_the_other_server_helps_and_is_asked_first_from_then_on(
    upstreams: list[Upstream], web: Client
) -> None:
    upstreams[0].reply = lambda sent: [answer(sent, rcode=dns.rcode.REFUSED)]
    upstreams[1].reply = lambda sent: [answer(sent, "192.0.2.80")]
    assert addresses(web.ask("out.example")) == ["192.0.2.80"]
    asked = len(upstreams[0].seen)
    assert addresses(web.ask("out2.example")) == ["192.0.2.80"]
    assert len(upstreams[0].seen) == asked


def test_a_pod_may_not_have_too_many_queries_open_and_others_do_not_notice(
    place: Town, upstreams: list[Upstream], web: Client
) -> None:
    shop_is_known(place)
    for each in upstreams:
        each.reply = lambda _: []
    with web.datagram() as flood:
        for number in range(300):
            flood.send(query(f"n{number}.example"))
        refused = dns.message.from_wire(flood.recv(65_535))
        assert refused.rcode() == dns.rcode.REFUSED
        assert addresses(web.ask("shop")) == ["10.80.0.1"]
        codes = [dns.message.from_wire(flood.recv(65_535)).rcode() for _ in range(290)]
    assert codes.count(dns.rcode.SERVFAIL) >= 200


def test_answers_are_kept_while_they_hold(upstreams: list[Upstream], web: Client) -> None:
    def lasting(sent: bytes) -> list[bytes]:
        made = dns.message.from_wire(answer(sent, "192.0.2.80"))
        made.answer[0].ttl = 300
        return [made.to_wire()]

    for each in upstreams:
        each.reply = lasting
    first = web.ask("kept.example")
    asked = len(upstreams[0].seen + upstreams[1].seen)
    assert addresses(web.ask("kept.example")) == addresses(first) == ["192.0.2.80"]
    assert len(upstreams[0].seen + upstreams[1].seen) == asked


def test_bad_input_is_answered_by_its_fault_or_not_at_all(place: Town, web: Client) -> None:
    shop_is_known(place)
    update = bytearray(query("shop"))
    update[2] |= 5 << 3
    assert web.raw(bytes(update))[3] & 15 == dns.rcode.NOTIMP
    response = bytearray(query("shop"))
    response[2] |= 0x80
    assert web.raw(bytes(response))[3] & 15 == dns.rcode.FORMERR
    assert web.raw(query("shop")[:-3])[3] & 15 == dns.rcode.FORMERR
    with web.datagram() as asking:
        asking.send(b"short")
        asking.send(os.urandom(3))
        asking.send(query("shop"))
        assert asking.recv(512)[:2] == b"\x42\x42"


def test_a_pod_that_nobody_knows_gets_no_answers(place: Town) -> None:
    pod = place.pod("way")
    capture_pod(pod.netns, Capture(dns=True))
    _route_everything(pod)
    for each in place.workers.values():
        each.tell([place.pod("web").workload()], [], [])
    assert Client(pod).ask("out.example").rcode() == dns.rcode.SERVFAIL


GLIBC = "import socket; print(sorted({a[4][0] for a in socket.getaddrinfo('shop', 80)}))"
MOUNTED = 'mount --bind {} /etc/resolv.conf && exec "$@"'


def test_the_c_library_and_programs_resolve_by_it(place: Town, web: Client, tmp_path: Path) -> None:
    shop_is_known(place)
    written = tmp_path / "resolv.conf"
    written.write_text(f"nameserver {RESOLVER}\nsearch town.svc.cluster.local\n")

    def run(*words: str) -> str:
        begin = ("unshare", "-m", "sh", "-c", MOUNTED.format(written), "sh")
        with inside(place.pod("web").netns):
            return subprocess.check_output((*begin, *words), text=True, timeout=SECONDS)

    assert run(sys.executable, "-c", GLIBC) == "['10.80.0.1']\n"
    assert run("getent", "ahostsv4", "shop.town").split()[0] == "10.80.0.1"
    assert addresses(web.ask("shop")) == ["10.80.0.1"]
