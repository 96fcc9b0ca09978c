"""Revocation lists: what counts, what does not, and what happens when they cannot be read."""

from contextlib import suppress
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from mesh.runtime.tls_revocation import (
    Revocations,
    RevocationUnknownError,
    TlsRevokedError,
    read_lists,
)
from tests.pki import HOUR, Authority, Issued

MESH = Authority()
LAYERED = Authority(intermediate=True)
STRANGER = Authority()
WEB = MESH.issue(MESH.identity("shop", "web"))
OTHER = MESH.issue(MESH.identity("shop", "other"))
DEEP = LAYERED.issue(LAYERED.identity("shop", "deep"))


def chain(papers: Issued) -> list[x509.Certificate]:
    """As a handshake verifies it: leaf first, root last."""
    return x509.load_pem_x509_certificates(papers.chain + papers.roots)


def between(papers: Issued) -> bytes:
    return chain(papers)[1].public_bytes(Encoding.PEM)


async def read(folder: Path, *lists: bytes) -> Revocations:
    file = folder / "crl.pem"
    file.write_bytes(b"".join(lists))
    revocations = Revocations(str(file))
    assert await revocations.refresh()
    return revocations


async def test_who_is_on_a_list_is_refused_and_nobody_else(tmp_path: Path) -> None:
    revocations = await read(tmp_path, MESH.revoke(WEB.chain))
    with pytest.raises(TlsRevokedError, match="serial number"):
        revocations.check(chain(WEB))
    revocations.check(chain(OTHER))


async def test_an_intermediate_may_be_revoked_by_its_root(tmp_path: Path) -> None:
    revocations = await read(
        tmp_path, LAYERED.revoke(), LAYERED.revoke(between(DEEP), by_root=True)
    )
    with pytest.raises(TlsRevokedError):
        revocations.check(chain(DEEP))


async def test_an_issuer_without_a_list_says_nothing(tmp_path: Path) -> None:
    revocations = await read(tmp_path, LAYERED.revoke())
    revocations.check(chain(WEB))


async def test_a_list_past_its_time_still_says_what_it_says(tmp_path: Path) -> None:
    revocations = await read(tmp_path, MESH.revoke(WEB.chain, lasts=-HOUR))
    with pytest.raises(TlsRevokedError):
        revocations.check(chain(WEB))


async def test_a_list_that_the_issuer_has_not_signed_does_not_count(tmp_path: Path) -> None:
    revocations = await read(tmp_path, STRANGER.revoke(WEB.chain))  # of the same name
    revocations.check(chain(WEB))


async def test_a_list_may_be_written_in_der(tmp_path: Path) -> None:
    crl = x509.load_pem_x509_crl(MESH.revoke(WEB.chain))
    revocations = await read(tmp_path, crl.public_bytes(Encoding.DER))
    with pytest.raises(TlsRevokedError):
        revocations.check(chain(WEB))


async def test_without_a_path_nobody_is_refused() -> None:
    revocations = Revocations("")
    assert not await revocations.refresh()
    assert not revocations.are_configured
    assert not revocations.are_unknown
    revocations.check(chain(WEB))


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
async def test_lists_that_could_never_be_read_trust_nobody(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "crl.pem"
    if content is not None:
        file.write_bytes(content)
    revocations = Revocations(str(file))
    assert not await revocations.refresh()
    assert revocations.are_unknown
    with pytest.raises(RevocationUnknownError, match="nobody is trusted"):
        revocations.check(chain(WEB))
    file.write_bytes(MESH.revoke())
    assert await revocations.refresh()
    revocations.check(chain(WEB))


async def test_once_read_the_last_good_lists_hold(tmp_path: Path) -> None:
    revocations = await read(tmp_path, MESH.revoke(WEB.chain))
    (tmp_path / "crl.pem").write_bytes(b"half a li")
    assert not await revocations.refresh()
    assert revocations.problem
    (tmp_path / "crl.pem").unlink()
    assert not await revocations.refresh()
    assert not revocations.are_unknown
    with pytest.raises(TlsRevokedError):
        revocations.check(chain(WEB))
    revocations.check(chain(OTHER))


@pytest.mark.parametrize("how", ["written in place", "renamed over", "swapped like a ConfigMap"])
async def test_a_change_is_noticed(tmp_path: Path, nursery: trio.Nursery, how: str) -> None:
    file = tmp_path / "crl.pem"
    if how == "swapped like a ConfigMap":
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        (tmp_path / "one" / "crl.pem").write_bytes(MESH.revoke())
        (tmp_path / "..data").symlink_to("one")
        file.symlink_to("..data/crl.pem")
    else:
        file.write_bytes(MESH.revoke())
    revocations = Revocations(str(file))
    told, heard = trio.open_memory_channel[None](10)
    nursery.start_soon(revocations.keep, lambda: told.send_nowait(None))
    with trio.fail_after(5):
        await heard.receive()
        revocations.check(chain(WEB))
        match how:
            case "written in place":
                file.write_bytes(MESH.revoke(WEB.chain))
            case "renamed over":
                (tmp_path / "new").write_bytes(MESH.revoke(WEB.chain))
                (tmp_path / "new").rename(file)
            case _:
                (tmp_path / "two" / "crl.pem").write_bytes(MESH.revoke(WEB.chain))
                (tmp_path / "..next").symlink_to("two")
                (tmp_path / "..next").rename(tmp_path / "..data")
        await heard.receive()
    with pytest.raises(TlsRevokedError):
        revocations.check(chain(WEB))


@given(st.binary(max_size=200))
def test_garbage_is_refused(octets: bytes) -> None:
    with suppress(ValueError):
        read_lists(octets)
