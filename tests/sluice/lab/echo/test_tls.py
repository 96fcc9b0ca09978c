"""TLS of the echo server."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sluice.lab.echo.settings import ADVANCED
from tests.sluice.lab.echo.servers import Basic, basic, free_ports, running

HOST = "secure.shop"


@dataclass(frozen=True)
class Files:
    """A certificate of a server, one of a client, and one of a stranger; each its own authority."""

    folder: Path

    def pair(self, name: str) -> tuple[str, str]:
        return str(self.folder / f"{name}.crt"), str(self.folder / f"{name}.key")

    def make(self, name: str) -> None:
        certificate, key = self.pair(name)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={name}",
             "-addext", f"subjectAltName=DNS:{HOST}"],
            check=True,
            capture_output=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    found = Files(tmp_path_factory.mktemp("certificates"))
    for name in ("server", "client", "stranger"):
        found.make(name)
    return found


@pytest.fixture(scope="module")
def server(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Basic]:
    certificate, key = files.pair("server")
    authorities = files.pair("client")[0]
    variables = {
        "TLS_SERVER_CERT": certificate,
        "TLS_SERVER_PRIVKEY": key,
        "TLS_CLIENT_CACERTS": authorities,
    }
    with basic(tmp_path_factory.mktemp("tls") / "log", variables) as found:
        yield found


def curl(server: Basic, files: Files, *words: str) -> subprocess.CompletedProcess[str]:
    trust = ("--cacert", files.pair("server")[0], "--resolve", f"{HOST}:{server.https}:127.0.0.1")
    command = ["curl", "-sS", "--max-time", "5", *trust, *words]
    url = f"https://{HOST}:{server.https}/"
    return subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=10)


@pytest.mark.parametrize(
    ("option", "proto", "protocol"),
    [("--http2", "HTTP/2.0", "h2"), ("--http1.1", "HTTP/1.1", "http/1.1")],
)
def test_the_handshake_chooses_the_version_of_http(
    server: Basic, files: Files, option: str, proto: str, protocol: str
) -> None:
    answer = json.loads(curl(server, files, option).stdout)

    assert answer["proto"] == proto
    assert answer["tls"]["negotiatedProtocol"] == protocol
    assert answer["tls"]["serverName"] == HOST
    assert answer["tls"]["version"] == "TLSv1.3"
    assert answer["tls"]["cipherSuite"].startswith("TLS_")
    assert "peerCertificates" not in answer["tls"]


def test_suites_of_older_versions_have_their_registered_names(server: Basic, files: Files) -> None:
    tls = json.loads(curl(server, files, "--tls-max", "1.2").stdout)["tls"]
    assert tls["version"] == "TLSv1.2"
    assert tls["cipherSuite"].startswith("TLS_ECDHE_ECDSA_WITH_")


def test_a_client_s_certificate_is_shown_and_a_stranger_s_refused(
    server: Basic, files: Files
) -> None:
    certificate, key = files.pair("client")
    answer = json.loads(curl(server, files, "--cert", certificate, "--key", key).stdout)
    assert answer["tls"]["peerCertificates"] == [Path(certificate).read_text()]

    certificate, key = files.pair("stranger")
    assert curl(server, files, "--cert", certificate, "--key", key).returncode != 0


def test_tcp_has_tls_as_well(files: Files, tmp_path: Path) -> None:
    certificate, key = files.pair("server")
    plain, secure = free_ports(2)
    variables = {
        "TCP_ECHO_SERVER": "1",
        "TCP_PORT": str(plain),
        "TLS_PORT": str(secure),
        "TLS_SERVER_CERT": certificate,
        "TLS_SERVER_PRIV_KEY": key,
    }
    context = ssl.create_default_context(cafile=certificate)
    with (
        running(tmp_path / "log", variables),
        socket.create_connection(("127.0.0.1", secure), 5) as raw,
        context.wrap_socket(raw, server_hostname=HOST) as end,
        end.makefile("rw") as words,
    ):
        words.write("IS_TLS\nTEST\n")
        words.flush()
        greeting, is_tls, facts = (words.readline().strip() for _ in range(3))
    assert (greeting, is_tls) == ("Gateway API Test TCP Server", "true")
    told = json.loads(facts)
    assert told["isTLS"] is True
    assert told["tls"]["serverName"] == HOST
    assert (told["tcpport"], told["tlsport"]) == (str(plain), str(secure))


def test_a_certificate_that_is_not_there_ends_the_server(tmp_path: Path) -> None:
    variables = {"TLS_SERVER_CERT": str(tmp_path / "none"), "TLS_SERVER_PRIVKEY": "none"}
    with pytest.raises(AssertionError, match="No such file"), basic(tmp_path / "log", variables):
        pass


def test_echo_advanced_brings_a_certificate(tmp_path: Path) -> None:
    http, secure, grpc, tcp = map(str, free_ports(4))
    words = [ADVANCED, f"--port={http}", f"--port={secure}", f"--tls={secure}", f"--grpc={grpc}"]
    words += [f"--tcp={tcp}", f"--crt={tmp_path}/cert.crt", f"--key={tmp_path}/cert.key"]
    with running(tmp_path / "log", {}, words):
        shown = ssl.get_server_certificate(("127.0.0.1", int(secure)), timeout=5)
        again = ssl.get_server_certificate(("127.0.0.1", int(secure)), timeout=5)
    assert shown == again
