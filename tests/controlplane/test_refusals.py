"""Tokens that are none of ours, over the wire: refused by name, and nobody else is disturbed."""

import logging
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from controlplane.tokens import load_token_key, mint
from mesh.runtime.grpc_bridge.client import GrpcFailedError
from tests.controlplane.running import PROXY, Control, control, pod

TOKENS = {
    "token_audience": "ask for one with that audience",
    "token_expired": "renew it",
    "token_signature": "mint it with this --state folder",
    "token_malformed": "put a service account's token there",
}


def bad_token(plane: Control, code: str) -> str:
    key, now = load_token_key(plane.state), time.time()
    match code:
        case "token_audience":
            return mint(key, PROXY, now, audience="somebody-else")
        case "token_expired":
            return mint(key, PROXY, now - 7200, lifetime_s=3600)
        case "token_signature":
            return mint(ec.generate_private_key(ec.SECP256R1()), PROXY, now)
        case _:
            return "garbage"


@pytest.mark.parametrize("code", TOKENS)
async def test_a_token_that_is_none_of_ours_is_refused_and_nobody_else_notices(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    caplog.set_level(logging.WARNING)
    async with control(tmp_path) as plane, plane.discovery() as good:
        await good.both()

        token = bad_token(plane, code)
        with pytest.raises(GrpcFailedError, match=r"UNAUTHENTICATED.*AUTH_TOKEN"):
            await plane.certificate(token=token)
        async with plane.discovery(token) as bad:
            with pytest.raises(GrpcFailedError, match=r"UNAUTHENTICATED.*AUTH_TOKEN"):
                await bad.next()

        plane.write("shop", pod("shelf", "web", ip="10.10.0.1"))
        assert [each.name for each in (await good.next()).resources]
        assert len(await plane.certificate()) >= 2

    refusals = [record for record in caplog.records if getattr(record, "code", "") == code]
    assert {record.getMessage() for record in refusals} == {"certificate refused", "stream refused"}
    assert all(TOKENS[code] in getattr(record, "reason", "") for record in refusals)
