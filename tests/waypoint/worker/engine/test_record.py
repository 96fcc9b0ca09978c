"""What a request's line in the log says."""

import json
import logging

import pytest

from mesh.model.routes import RouteRule
from mesh.runtime.logs import MAX_LINE_OCTETS, JsonLines
from tests.waypoint.worker.engine.stage import Stage, endpoint, to, web
from waypoint.worker.engine.record import label_of
from waypoint.worker.engine.serving import Requests


def told(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    (record,) = [each for each in caplog.records if each.name == "access"]
    return {**vars(record), "told": record.getMessage()}


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "access")


def test_a_line_has_envoys_fields(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(web(), endpoint("a"))
    stage.route(RouteRule(name="main", backends=(to(),)))
    stage.get("/x?y", method="POST", fields=[(b"user-agent", b"test")], content=b"12345")
    line = told(caplog)
    assert line["told"] == "request complete"
    assert line["levelname"] == "INFO"
    expected = {
        "method": "POST",
        "path": "/x?y",
        "protocol": "HTTP/1.1",
        "response_code": 200,
        "response_flags": "-",
        "authority": "web",
        "bytes_received": 5,
        "bytes_sent": 5,
        "user_agent": "test",
        "route_name": "shop/r/main",
        "upstream_host": "10.1.0.97:8080",
        "attempts": 1,
        "src.identity": "spiffe://cluster.local/ns/shop/sa/client",
        "src.workload": "client",
        "dst.service": "web",
        "dst.workload": "a",
    }
    assert {name: line.get(name) for name in expected} == expected
    assert len(str(line["request_id"])) == 36
    assert "code" not in line


def test_a_line_is_short_enough_to_stay_whole(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(web(), endpoint("a"))
    long = [(b"user-agent", b"\xe9" * 8000), (b"x-request-id", b"\xe9" * 8000)]
    stage.get("/" + "x" * 8000, fields=long)
    [record] = [each for each in caplog.records if each.name == "access"]
    assert vars(record)["path"] == "/" + "x" * 1023 + "..."
    line = JsonLines().format(record)
    assert len(line) < MAX_LINE_OCTETS
    assert json.loads(line)["response_code"] == 200


@pytest.mark.parametrize(
    ("said", "label"),
    [("", ""), ("0", "0"), ("14", "14"), ("junk", "2"), ("999", "2"), ("-1", "2")],
)
def test_a_label_is_a_status_of_grpc_or_unknown(said: str, label: str) -> None:
    assert label_of(said) == label


def test_a_line_of_a_failure_has_its_code_and_flag(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(web())
    stage.get()
    line = told(caplog)
    assert (line["code"], line["response_flags"]) == ("http_no_endpoint", "UH")
    assert (line["response_code"], line["levelname"]) == (503, "WARNING")
    assert "upstream_host" not in line


def test_a_problem_of_a_route_has_its_own_code(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(web())
    stage.route(RouteRule(backends=(to(problem="route_backend_missing"),)))
    stage.get()
    line = told(caplog)
    assert (line["code"], line["response_code"]) == ("route_backend_missing", 500)


def test_a_client_that_left_is_told_of_without_a_status(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    assert asked.stream is not None
    asked.stream.reset()
    stage.run()
    line = told(caplog)
    assert (line["code"], line["response_flags"], line["response_code"]) == (
        "http_client_gone",
        "DC",
        0,
    )


def test_what_the_client_asked_for_is_told_not_what_became_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage(web(), endpoint("a"))
    stage.get("/a/../b")
    assert told(caplog)["path"] == "/a/../b"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", {"response_code": 400, "code": "http1_host"}),
        (
            b"POST /x HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            {"response_code": 400, "code": "http1_body_syntax", "path": "/x"},
        ),
    ],
    ids=["head", "content"],
)
def test_what_is_no_request_has_a_line(
    caplog: pytest.LogCaptureFixture, octets: bytes, expected: dict[str, object]
) -> None:
    stage = Stage(web(), endpoint("a"))
    wire = stage.wire()
    stage.context.answer(wire.right, Requests(stage.peer()), False).start()
    wire.left.write(octets)
    stage.run()
    line = told(caplog)
    assert {name: line.get(name) for name in expected} == expected
    assert (line["response_flags"], line["levelname"]) == ("DPE", "WARNING")
    assert line["src.workload"] == "client"


def test_a_violation_of_http_2_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(web(), endpoint("a"))
    wire = stage.wire()
    stage.context.answer(wire.right, Requests(stage.peer()), True).start()
    wire.left.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(500))
    stage.run()
    wire.left.reset()
    stage.run()
    line = told(caplog)
    assert line["response_code"] == 0
    assert str(line["code"]).startswith("http2_")
