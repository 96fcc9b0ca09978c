"""The log: forms, levels, and lines that stay whole."""

import json
import logging
import os
import sys
from collections.abc import Iterator

import pytest

from mesh.model.address import SocketAddress, parse_ip
from mesh.runtime import logs


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Levels are the process's: put them back."""
    before = {name: logging.getLogger(name).level for name in ("", "access", "ztunnel.worker")}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def record(message: str, /, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("access", logging.WARNING, "", 0, message, (), None)
    made.created = 1.5
    vars(made).update(fields)
    return made


def test_a_plain_line_is_separated_by_tabs_and_quotes_texts() -> None:
    address = SocketAddress(parse_ip("10.0.0.1"), 80)
    line = logs.PlainLines().format(
        record("done", **{"src.addr": address, "code": 'a"b', "bytes_sent": 3})
    )
    assert line == (
        "1970-01-01T00:00:01.500000Z\twarn\taccess\tdone\t"
        'src.addr=10.0.0.1:80 code="a\\"b" bytes_sent=3'
    )


def test_a_json_line_has_the_same_fields() -> None:
    line = logs.JsonLines().format(record("done", code="x", bytes_sent=3))
    assert json.loads(line) == {
        "level": "warn",
        "time": "1970-01-01T00:00:01.500000Z",
        "scope": "access",
        "message": "done",
        "code": "x",
        "bytes_sent": 3,
    }


def test_a_failure_carries_its_traceback() -> None:
    failed = record("failed")
    try:
        int("because")
    except ValueError:
        failed.exc_info = sys.exc_info()
    assert logs.PlainLines().format(failed).endswith("'because'")
    assert "because" in json.loads(logs.JsonLines().format(failed))["stack"]


def test_libraries_write_neither_headers_nor_tracebacks_down() -> None:
    before = list(logging.getLogger().handlers)
    read_end, write_end = os.pipe()
    logs.configure("debug", descriptor=write_end)
    handler = logging.getLogger().handlers[0]
    try:
        logging.getLogger("hpack.hpack").debug("authorization: secret")
        logging.getLogger(logs.ACCEPTING).error("accept: %s", "full", exc_info=ValueError("x"))
        handler.close()
        (line,) = os.read(read_end, 1000).splitlines()
        assert line.endswith(b"\terror\ttrio.serve_listeners\taccept: full")
    finally:
        logging.getLogger().handlers[:] = before
        os.close(read_end)
        os.close(write_end)


def test_levels_are_set_by_scope_and_what_is_none_is_named() -> None:
    assert logs.set_levels("warn, access=debug,ztunnel::worker=trace,loud,x=y") == ["loud", "x=y"]
    assert logging.getLogger().level == logging.WARNING
    assert logging.getLogger("access").level == logging.DEBUG
    assert logging.getLogger("ztunnel.worker").level == logs.TRACE


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "trace"), (5, "trace"), (10, "debug"), (20, "info"), (30, "warn"), (50, "error")],
)
def test_every_level_has_a_word(number: int, word: str) -> None:
    assert logs.level_name(number) == word


def test_a_write_holds_whole_lines_and_no_more_than_a_pipe_takes_in_one_piece() -> None:
    lines = [b"x" * size + b"\n" for size in (10, 4000, 200, 9000, 1)]
    cut = list(logs.pieces(lines))
    assert b"".join(cut) == b"".join(lines)
    assert all(piece.endswith(b"\n") for piece in cut)
    assert [len(piece) for piece in cut] == [11 + 4001, 201, 9001, 2]


def test_what_was_logged_is_written_when_the_log_is_closed() -> None:
    reader, writer = os.pipe()
    handler = logs.LineHandler(writer)
    handler.setFormatter(logs.PlainLines())
    for number in range(50):
        handler.emit(record(f"line {number}"))
    handler.close()
    os.close(writer)
    with os.fdopen(reader, "rb") as read:
        written = read.read().decode().splitlines()
    assert [line.rpartition("\t")[2] for line in written] == [f"line {n}" for n in range(50)]


def test_a_reader_who_has_gone_stops_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    handler = logs.LineHandler(writer)
    handler.emit(record("nobody hears it"))
    handler.close()
    os.close(writer)
