"""Ports and what is spoken there, from variables and arguments."""

import pytest

from sluice.lab.echo.settings import ADVANCED, BASIC, Port, Speech, settings_of

SECURE = {"TLS_SERVER_CERT": "/c", "TLS_SERVER_PRIVKEY": "/k"}
SECURE_TOO = {"TLS_SERVER_CERT": "/c", "TLS_SERVER_PRIV_KEY": "/k"}
UDP = Port(8080, Speech.UDP)
HTTP = (UDP, Port(3000, Speech.HTTP1), Port(3001, Speech.H2C))


@pytest.mark.parametrize(
    ("variables", "ports"),
    [
        ({}, HTTP),
        (SECURE, (*HTTP, Port(8443, Speech.HTTP1, is_secure=True))),
        ({"HTTP_PORT": "80"}, (UDP, Port(80, Speech.HTTP1), Port(3001, Speech.H2C))),
        ({"GRPC_ECHO_SERVER": "1"}, (Port(3000, Speech.GRPC),)),
        (
            {"GRPC_ECHO_SERVER": "1"} | SECURE_TOO,
            (Port(3000, Speech.GRPC), Port(8443, Speech.GRPC, is_secure=True)),
        ),
        (
            {"TCP_ECHO_SERVER": "1", "TCP_PORT": "9000"} | SECURE_TOO,
            (Port(9000, Speech.TCP), Port(8443, Speech.TCP, is_secure=True)),
        ),
        ({"UDP_ECHO_SERVER": "1"}, (UDP,)),
        ({"UDP_ECHO_SERVER": "1", "TCP_ECHO_SERVER": "1"}, (Port(3000, Speech.TCP), UDP)),
    ],
)
def test_variables_say_what_echo_basic_speaks(
    variables: dict[str, str], ports: tuple[Port, ...]
) -> None:
    assert settings_of([BASIC], variables).ports == ports


def secure(number: int, speech: Speech) -> Port:
    return Port(number, speech, is_secure=True)


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        (
            "",
            {
                Port(8080, Speech.HTTP),
                secure(8443, Speech.HTTP),
                Port(7070, Speech.GRPC),
                Port(9090, Speech.TCP),
            },
        ),
        (
            "--tcp=9090 --port=80 --port 8080 --grpc=7070,7443 --port=443 --tls=443 --tls=7443",
            {
                Port(9090, Speech.TCP),
                Port(80, Speech.HTTP),
                Port(8080, Speech.HTTP),
                Port(7070, Speech.GRPC),
                secure(7443, Speech.GRPC),
                secure(443, Speech.HTTP),
            },
        ),
    ],
)
def test_arguments_say_what_echo_advanced_speaks(words: str, ports: set[Port]) -> None:
    assert set(settings_of([ADVANCED, *words.split()], {}).ports) == ports


def test_arguments_that_it_does_not_know_are_kept_to_be_named() -> None:
    settings = settings_of([ADVANCED, "--hbone=15008", "--version=v1", "--crt=/a", "--key=/b"], {})
    assert settings.ignored == ("hbone",)
    assert (settings.certificate, settings.key) == ("/a", "/b")


def test_a_port_that_is_no_number_is_said() -> None:
    with pytest.raises(ValueError, match="ninety"):
        settings_of([ADVANCED, "--port=ninety"], {})


def test_a_pod_that_is_not_told_its_name_has_its_host_s() -> None:
    assert settings_of([ADVANCED], {"HOSTNAME": "echo-v1-x-y"}).who.pod == "echo-v1-x-y"
