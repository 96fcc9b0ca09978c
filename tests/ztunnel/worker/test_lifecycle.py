"""Pods that come and go, certificates that change, drains, and what the feed is told."""

import errno
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mesh.observe.metrics import COUNTERS, LABELS, OPENED, TRAFFIC
from mesh.runtime.netns import netns_id
from mesh.wire.feed import (
    AddPod,
    CertificateWanted,
    Drain,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    PodHeld,
    PodListening,
    Query,
    RemovePod,
)
from mesh.wire.feed_answers import read_connections, read_metrics
from tests.ztunnel.worker.raw import stranger
from tests.ztunnel.worker.town import MESH, Town, TownPod, line_of, named, town

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(autouse=True)
def repaired(place: Town) -> Iterator[None]:
    """These tests break the town; afterwards it is as it was."""
    yield
    place.repair()


@pytest.fixture
def own() -> Iterator[Town]:
    """A town that need not be whole afterwards."""
    with town() as made:
        made.tell()
        yield made


def echoes(connection: socket.socket) -> bool:
    connection.sendall(b"echo")
    return connection.recv(100) == b"echo"


def until_refused(place: Town, pod: TownPod, port: int) -> None:
    """Wait until the listeners have gone: nobody tells when."""
    while True:
        try:
            place.pod("stranger").dial(pod.ip, port).close()
        except ConnectionResetError:
            continue
        except ConnectionRefusedError:
            return


def listen_when_free(pod: TownPod, port: int) -> socket.socket:
    """Listen as soon as nobody else does: nobody tells when."""
    while True:
        try:
            return pod.listen(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise


def is_cut(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except OSError:
        return True


def test_a_removed_pod_ends_at_once_and_may_come_back(place: Town) -> None:
    shop, web = place.pod("shop"), place.pod("web")
    with shop.serving(8080, named(shop)):
        with web.dial(shop.ip, 8080) as client, web.dial(shop.ip, 8080) as another:
            line_of(client)
            line_of(another)
            place.far.say(RemovePod(shop.uid))
            assert is_cut(client)
            assert is_cut(another)
        line = place.line("far", message="connection complete", direction="inbound")
        assert line["error"] == "connection closed due to connection drain"
        # Fails closed: the rules are still there, and nobody listens.
        with pytest.raises(ConnectionRefusedError):
            place.pod("stranger").dial(shop.ip, 8080)
        place.far.add(shop.info, shop.netns)
        with web.dial(shop.ip, 8080) as client:
            line_of(client)
            assert echoes(client)


def test_a_removed_client_pod_ends_its_connections_and_hurts_no_other(place: Town) -> None:
    shop, web, way = place.pod("shop"), place.pod("web"), place.pod("way")
    with (
        shop.serving(8080, named(shop)),
        web.dial(shop.ip, 8080) as gone,
        way.dial(shop.ip, 8080) as kept,
    ):
        line_of(gone)
        line_of(kept)
        place.near.say(RemovePod(web.uid))
        assert is_cut(gone)
        assert echoes(kept)


def test_a_successor_of_the_control_process_is_told_what_is_served(place: Town) -> None:
    shop, web = place.pod("shop"), place.pod("web")
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)
        place.far.say(Query(0, "hello"))
        hello, _ = place.far.hear()
        assert isinstance(hello, Hello)
        assert hello.pid == place.far.process.pid
        assert hello.state_version > 0
        assert set(hello.identities) >= {shop.identity}
        held = {}
        while True:
            message, descriptors = place.far.hear()
            if isinstance(message, HelloEnd):
                break
            assert isinstance(message, PodHeld)
            held[message.pod.uid] = netns_id(descriptors[0])
            os.close(descriptors[0])
        served = ("shop", "bakery", "gate")
        assert held == {place.pod(n).uid: netns_id(place.pod(n).netns) for n in served}
        # Told again, nothing changes.
        place.far.add(shop.info, shop.netns)
        assert echoes(client)


def test_a_pod_in_a_new_sandbox_is_served_there(place: Town) -> None:
    shop, bakery, web = place.pod("shop"), place.pod("bakery"), place.pod("web")
    place.far.say(RemovePod(bakery.uid))
    place.far.add(shop.info, bakery.netns)  # the same pod, another namespace
    place.tell(
        [shop.workload(addresses=bakery.workload().addresses), bakery.workload(addresses=())]
    )
    with bakery.serving(8080, named(bakery)), web.dial(bakery.ip, 8080) as client:
        assert line_of(client) == f"bakery sees {web.ip}"
    line = place.line("far", message="connection complete", direction="inbound")
    assert line["dst.identity"] == str(shop.identity)


def test_a_port_that_is_taken_in_the_pod_is_an_answer_and_leaves_nothing_open(place: Town) -> None:
    shop = place.pod("shop")
    place.far.say(RemovePod(shop.uid))
    with listen_when_free(shop, 15006):
        with pytest.raises(ValueError, match="cannot listen on port 15006"):
            place.far.add(shop.info, shop.netns)
        listen_when_free(shop, 15001).close()  # nothing of ours is left there
    place.far.add(shop.info, shop.netns)


def test_what_is_no_namespace_is_an_answer(place: Town) -> None:
    shop = place.pod("shop")
    with open(os.devnull) as nothing:  # noqa: PTH123 - any descriptor will do
        place.far.say(RemovePod(shop.uid))
        place.far.say(AddPod(shop.info), nothing.fileno())
        assert place.far.wait(PodListening).error != ""


def test_a_new_certificate_serves_new_tunnels_and_drops_no_connection(place: Town) -> None:
    shop, web = place.pod("shop"), place.pod("web")
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)
        for each, pod in ((place.near, web), (place.far, shop)):
            each.certify(pod.identity, MESH.issue(pod.identity))
        place.tell()
        assert echoes(client)
        with web.dial(shop.ip, 8080) as another:
            line_of(another)
        with stranger(place, shop.ip, MESH.issue(web.identity)) as raw:
            assert raw.answer(raw.connect(f"{shop.ip}:8080"))[b":status"] == b"200"
        assert echoes(client)


def test_a_missing_certificate_is_asked_for_and_waited_for(place: Town) -> None:
    shop, web = place.pod("shop"), place.pod("web")
    place.near.say(RemovePod(web.uid))  # and with it the open tunnels, which need none
    place.near.add(web.info, web.netns)
    place.near.say(ForgetCertificate(web.identity))
    place.settle()
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        assert place.near.wait(CertificateWanted).identity == web.identity
        # A successor of the control process hears of it, too.
        place.near.say(Query(0, "hello"))
        place.near.wait(HelloEnd)
        assert place.near.wait(CertificateWanted).identity == web.identity
        place.near.certify(web.identity, MESH.issue(web.identity))
        assert line_of(client) == f"shop sees {web.ip}"


def test_a_new_pod_is_waited_for_until_the_state_has_it(place: Town) -> None:
    shop, web = place.pod("shop"), place.pod("web")
    place.near.tell([shop.workload()])
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        place.near.tell([shop.workload(), web.workload()])
        assert line_of(client) == f"shop sees {web.ip}"


def test_a_drain_waits_for_what_is_open_and_takes_nothing_new(own: Town) -> None:
    shop, web = own.pod("shop"), own.pod("web")
    with shop.serving(8080, named(shop)):
        with (
            web.dial(shop.ip, 8080) as client,
            stranger(own, shop.ip, MESH.issue(web.identity)) as raw,
        ):
            line_of(client)
            own.far.say(Drain(30.0))
            raw.wait_goaway()
            assert echoes(client)
            until_refused(own, shop, 15008)
            assert echoes(client)
        own.far.wait(Drained)
    assert own.far.process.process.wait(5) == 0


def test_a_drain_cuts_what_is_open_at_its_deadline(own: Town) -> None:
    shop, web = own.pod("shop"), own.pod("web")
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)
        own.far.say(Drain(0.1))
        assert is_cut(client)
    own.far.wait(Drained)
    line = own.line("far", message="connection complete", direction="inbound")
    assert line["error"] == "connection closed due to connection drain"
    assert own.far.process.process.wait(5) == 0


def test_a_worker_whose_feed_ends_ends(own: Town) -> None:
    own.far._feed.close()
    assert own.far.process.process.wait(5) == 0


def test_what_is_no_message_changes_nothing(place: Town) -> None:
    shop, web = place.pod("shop"), place.pod("web")
    place.far._feed.send(b"\xff\xff\xff")
    place.far._feed.send(b"\0" * 1000)
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)


def test_open_connections_and_counters_are_told_to_whoever_asks(own: Town) -> None:
    shop, web = own.pod("shop"), own.pod("web")
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)
        (outbound,) = read_connections(own.near.ask("connections"))
        (inbound,) = read_connections(own.far.ask("connections"))
        assert echoes(client)
    assert (outbound.pod, outbound.direction, outbound.protocol) == (web.uid, "outbound", "HBONE")
    assert (outbound.called, outbound.reached) == (f"{shop.ip}:8080", f"{shop.ip}:15008")
    assert (inbound.pod, inbound.direction, inbound.protocol) == (shop.uid, "inbound", "HBONE")
    own.settle()
    for each, reporter in ((own.near, "source"), (own.far, "destination")):
        rows = read_metrics(each.ask("metrics"))
        (labels, numbers) = next(
            (dict(zip(LABELS, row[1], strict=True)), dict(zip(COUNTERS, row[2], strict=True)))
            for row in rows
            if row[0] == TRAFFIC
        )
        assert labels["reporter"] == reporter
        assert labels["source_principal"] == str(web.identity)
        assert labels["destination_principal"] == str(shop.identity)
        assert labels["connection_security_policy"] == "mutual_tls"
        assert numbers[OPENED] == 1
        assert list(numbers.values()) == [1, 1, 4, len(f"shop sees {web.ip}\n") + 4, 0]


def test_without_descriptors_accepting_pauses_and_goes_on_and_what_is_open_lives(
    own: Town,
) -> None:
    shop, web = own.pod("shop"), own.pod("web")
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)
        pid = own.near.process.pid
        used = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - only their number counts
        own.near.process.process.poll()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 20, used + 20))
        crowd = []
        try:
            crowd.extend(web.dial(shop.ip, 8080) for _ in range(60))
            own.near.process.wait_line("accepting pauses")
            assert echoes(client)
        finally:
            for each in crowd:
                each.close()
        own.near.process.wait_line("accepting goes on")
        assert echoes(client)
        with web.dial(shop.ip, 8080) as another:
            line_of(another)


def test_a_slow_reader_bounds_the_workers_memory(place: Town) -> None:
    def resident(pid: int) -> int:
        with open(f"/proc/{pid}/smaps_rollup") as file:  # noqa: PTH123 - the kernel's, not a path
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024

    shop, web = place.pod("shop"), place.pod("web")

    def never_read(accepted: socket.socket) -> None:
        accepted.sendall(b"go\n")
        stop.recv(1)

    stop, go = socket.socketpair()
    with stop, go, shop.serving(8080, never_read), web.dial(shop.ip, 8080) as client:
        line_of(client)
        before = resident(place.near.process.pid) + resident(place.far.process.pid)
        client.settimeout(0.3)
        with suppress(TimeoutError):
            while True:
                client.sendall(bytes(1 << 20))
        after = resident(place.near.process.pid) + resident(place.far.process.pid)
        go.send(b"!")
    # A stream's window may have grown to 4 MiB; a transmit buffer and a little more beside it.
    assert after - before < 8 * 1024 * 1024


def test_wrong_use_says_how_it_is_started() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ztunnel.worker", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "usage" in done.stderr
