"""Where certificates come from: a real authority over gRPC, and files."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mesh.errors import MeshError
from mesh.runtime.certificates import CertificateUnfitError
from mesh.runtime.control.certificate_sources import Authority, Files, NoCertificatesError, Nowhere
from mesh.runtime.control.control_plane import ControlPlane, ControlPlaneFileError
from mesh.runtime.grpc_bridge.client import GrpcFailedError
from mesh.runtime.settings import Api, CertificateFiles
from tests.control_plane import ControlPlane as Served
from tests.pki import Authority as Issuer
from tests.ztunnel.control.world import identity

WEB = identity("web")


@pytest.fixture
def served() -> Iterator[Served]:
    with Served(Issuer()) as running:
        yield running


@pytest.fixture
def api(served: Served, tmp_path: Path) -> Api:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(served.authority.roots)
    return Api(served.address, str(roots), "", (("x-header", "1"),))


def authority(api: Api, token: str = "token", *, impersonates: bool = True) -> Authority:
    server = ControlPlane("CA", api, token)
    return Authority(server, "east", 3600.0, time.time, impersonates=impersonates)


async def test_a_certificate_is_asked_for_in_the_name_of_a_workload(
    served: Served, api: Api
) -> None:
    certificate, since = await authority(api).fetch(WEB)
    assert certificate.identity == WEB
    assert certificate.roots == served.authority.roots
    assert since <= time.time() + 1
    asked, metadata = served.signed[0]
    assert asked == WEB
    assert metadata["authorization"] == "Bearer token"
    assert (metadata["clusterid"], metadata["x-header"]) == ("east", "1")


async def test_a_dedicated_proxy_asks_in_its_own_name(served: Served, api: Api) -> None:
    certificate, _ = await authority(api, impersonates=False).fetch(WEB)
    assert certificate.identity == WEB
    assert served.signed == [], "nobody was impersonated"


async def test_the_token_is_read_anew_for_each_call(
    served: Served, api: Api, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    source = authority(api, str(path))
    for token in ("one", "two"):
        path.write_text(token + "\n")
        await source.fetch(WEB)
    assert [metadata["authorization"] for _, metadata in served.signed] == [
        "Bearer one",
        "Bearer two",
    ]


async def test_a_token_that_is_not_there_is_named(api: Api, tmp_path: Path) -> None:
    with pytest.raises(ControlPlaneFileError, match="AUTH_TOKEN"):
        await authority(api, str(tmp_path / "none")).fetch(WEB)


async def test_roots_are_read_anew_so_that_a_changed_authority_is_trusted(
    served: Served, api: Api
) -> None:
    path = trio.Path(api.root_ca)
    source = authority(api)
    await path.write_bytes(Issuer().roots)
    with pytest.raises(GrpcFailedError):
        await source.fetch(WEB)
    await path.write_bytes(served.authority.roots)
    await source.fetch(WEB)


async def test_roots_may_be_written_into_the_variable(served: Served, api: Api) -> None:
    inline = dataclasses.replace(api, root_ca=served.authority.roots.decode())
    await authority(inline).fetch(WEB)
    gone = dataclasses.replace(api, root_ca="/nowhere/roots.pem")
    with pytest.raises(ControlPlaneFileError, match="CA_ROOT_CA"):
        await authority(gone).fetch(WEB)


async def test_the_server_may_have_another_name() -> None:
    with Served(Issuer(), server_name="istiod.istio-system.svc") as served:
        api = Api(served.address, served.authority.roots.decode(), "istiod.istio-system.svc", ())
        await authority(api).fetch(WEB)


async def test_a_refusal_is_passed_on_in_its_own_words(served: Served, api: Api) -> None:
    served.refuse_certificates = True
    with pytest.raises(GrpcFailedError, match="authentication failure"):
        await authority(api).fetch(WEB)


async def test_an_answer_that_is_over_already_is_not_used(served: Served, api: Api) -> None:
    served.lasts_s = 0.0
    with pytest.raises(CertificateUnfitError, match="expired"):
        await authority(api).fetch(WEB)


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    issued = Issuer().issue(WEB)
    named = CertificateFiles(*(str(tmp_path / name) for name in ("chain", "key", "roots")))
    for path, pem in (
        (named.chain, issued.chain),
        (named.key, issued.key),
        (named.roots, issued.roots),
    ):
        Path(path).write_bytes(pem)
    return named


async def test_files_give_a_certificate(files: CertificateFiles) -> None:
    certificate, _ = await Files(files, time.time).fetch(WEB)
    assert certificate.chain == await trio.Path(files.chain).read_bytes()


async def test_a_file_that_is_not_there_is_named_by_its_variable(files: CertificateFiles) -> None:
    await trio.Path(files.key).unlink()
    with pytest.raises(MeshError, match=r"key \(KEY_FILE\)"):
        await Files(files, time.time).fetch(WEB)


async def test_files_for_somebody_else_are_refused(files: CertificateFiles) -> None:
    with pytest.raises(CertificateUnfitError, match="it names"):
        await Files(files, time.time).fetch(identity("other"))


async def test_without_a_source_there_is_none() -> None:
    with pytest.raises(NoCertificatesError, match="CA_ADDRESS"):
        await Nowhere().fetch(WEB)
