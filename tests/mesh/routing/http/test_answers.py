import pytest

from mesh.routing.http.answers import grpc_error, is_grpc
from tests.mesh.routing.http.given import request


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc;x=1", True),
        ("application/grpc-web", False),
        ("application/json", False),
        (None, False),
    ],
)
def test_a_grpc_call_is_told_by_its_content_type(kind: str | None, expected: bool) -> None:
    head = request("/", "POST", **({"content_type": kind} if kind else {}))
    assert is_grpc(head) is expected


def test_a_grpc_error_is_a_head_alone() -> None:
    head = grpc_error(12, "no route: 100% é")
    assert head.status == 200
    assert head.length is None
    assert head.fields == [
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"12"),
        (b"grpc-message", b"no route: 100%25 %C3%A9"),
    ]
    assert grpc_error(14, "").fields[1:] == [(b"grpc-status", b"14")]
