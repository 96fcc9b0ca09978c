import json
import re

import pytest

from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.model.workload import Workload
from mesh.observe.access_log import (
    COMPLETE,
    REFUSED,
    ConnectionRecord,
    Direction,
    Field,
    access_fields,
    access_line,
    plain_line,
    refusal_line,
)
from tests.mesh.worlds import at, service
from tests.shared_data import shared

FIELD = re.compile(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S+)')


def plain_lines(message: str) -> list[str]:
    """Message and fields of the recorded plain lines."""
    lines = shared("ztunnel/access-log-source.txt").read_text().splitlines()
    parts = [line.split("\taccess\t", 1) for line in lines if "\taccess\t" in line]
    return [text for _, text in parts if text.startswith(message)]


def json_lines(message: str) -> list[dict[str, str | int]]:
    """The fields of the recorded JSON lines."""
    lines = shared("ztunnel/access-log-destination.txt").read_text().splitlines()
    records: list[dict[str, str | int]] = [json.loads(line) for line in lines if line[:1] == "{"]
    return [
        {k: v for k, v in each.items() if k not in ("level", "time", "scope", "message")}
        for each in records
        if each["message"] == message
    ]


def fields_of(text: str) -> dict[str, str | int]:
    found = {name: value.strip('"') for name, value in FIELD.findall(text.split("\t", 1)[1])}
    return {name: value.replace('\\"', '"').replace("\\\\", "\\") for name, value in found.items()}


def record_of(named: dict[str, str | int]) -> ConnectionRecord:
    """The record of which Istio's node proxy wrote these fields."""
    text = {name: str(value) for name, value in named.items()}
    outbound = text["direction"] == "outbound"
    sent, received = int(text.get("bytes_sent", "0")), int(text.get("bytes_recv", "0"))
    return ConnectionRecord(
        direction=Direction(text["direction"]),
        source_address=SocketAddress.parse(text["src.addr"]),
        destination_address=SocketAddress.parse(text["dst.addr"]),
        hbone_address=text.get("dst.hbone_addr", ""),
        source=workload_of("src", text),
        destination=workload_of("dst", text),
        service_hostname=text.get("dst.service", ""),
        source_identity=identity_of("src", text),
        destination_identity=identity_of("dst", text),
        client_octets=sent if outbound else received,
        server_octets=received if outbound else sent,
        duration_s=int(text.get("duration", "0ms").removesuffix("ms")) / 1000,
        error=text.get("error", ""),
    )


def workload_of(side: str, text: dict[str, str]) -> Workload | None:
    if f"{side}.workload" not in text:
        return None
    return Workload(
        uid="",
        name=text[f"{side}.workload"],
        namespace=text[f"{side}.namespace"],
        cluster_id=text[f"{side}.cluster"],
        services={},
    )


def identity_of(side: str, text: dict[str, str]) -> Identity | None:
    return Identity.parse(text[f"{side}.identity"]) if f"{side}.identity" in text else None


def test_a_plain_line_is_the_one_that_istios_node_proxy_writes() -> None:
    lines = plain_lines(COMPLETE)
    assert len(lines) >= 10
    assert [access_line(record_of(fields_of(line))) for line in lines] == lines


def test_so_is_the_line_of_a_connection_that_was_turned_away() -> None:
    lines = plain_lines(REFUSED)
    assert len(lines) >= 2
    assert [refusal_line(record_of(fields_of(line))) for line in lines] == lines


def test_the_fields_have_istios_names_values_and_order() -> None:
    recorded = json_lines(COMPLETE)
    assert len(recorded) >= 10
    for fields in recorded:
        written = [(name, plain(value)) for name, value in access_fields(record_of(fields))]
        assert written == list(fields.items())


def plain(value: Field) -> str | int:
    return value if isinstance(value, int) else str(value)


def record(**fields: object) -> ConnectionRecord:
    made = ConnectionRecord(
        direction=Direction.OUTBOUND,
        source_address=at("10.0.0.1:40000"),
        destination_address=at("10.0.0.2:80"),
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_a_service_comes_before_a_hint() -> None:
    fields = dict(access_fields(record(service=service("web"), service_hostname="hint")))
    assert fields["dst.service"] == "web"


@pytest.mark.parametrize(
    ("direction", "sent", "received"), [(Direction.OUTBOUND, 1, 2), (Direction.INBOUND, 2, 1)]
)
def test_octets_are_told_from_this_proxys_side(
    direction: Direction, sent: int, received: int
) -> None:
    fields = dict(access_fields(record(direction=direction, client_octets=1, server_octets=2)))
    assert (fields["bytes_sent"], fields["bytes_recv"]) == (sent, received)


def test_a_text_cannot_begin_a_line_or_a_field_of_its_own() -> None:
    line = plain_line("m", [("error", 'a" b=1\nx\\'), ("n", 1)])
    assert line == 'm\terror="a\\" b=1\\nx\\\\" n=1'


@pytest.mark.parametrize("name", ["path", "dst.hbone_addr"])
@pytest.mark.parametrize("odd", ["\n", "\r", "\x1b[2J", "\x9b2J", "\u2028", "\0"])
def test_nothing_that_a_client_sends_ends_a_line_or_speaks_to_a_terminal(
    name: str, odd: str
) -> None:
    line = plain_line("m", [(name, f"a{odd}b=1")])
    assert line.partition("\t")[2].isprintable()
    assert line.count('"') == 2
