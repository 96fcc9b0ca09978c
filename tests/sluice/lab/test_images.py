"""The built-in images in pods of a lab, with their arguments, variables and files."""

import base64
import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.sluice.lab.labs import Lab, running

pytestmark = [pytest.mark.netns, pytest.mark.slow]

WORLD = """
apiVersion: v1
kind: Namespace
metadata: {name: images}
---
apiVersion: v1
kind: Secret
metadata: {name: pair, namespace: images}
data: {tls.crt: %s, tls.key: %s}
---
apiVersion: v1
kind: Pod
metadata: {name: advanced, namespace: images}
spec:
  containers:
  - name: echo
    image: example.org/x/echo-advanced:v1
    args: [--tcp=9090, --port=80, --port=8080, --port=443, --tls=443, --crt=/crt, --key=/key]
---
apiVersion: v1
kind: Pod
metadata: {name: secure, namespace: images}
spec:
  volumes:
  - name: pair
    secret: {secretName: pair, items: [{key: tls.crt, path: crt}, {key: tls.key, path: key}]}
  containers:
  - name: echo
    image: example.org/x/echo-basic:v1
    volumeMounts: [{name: pair, mountPath: /etc/echo-pair}]
    env:
    - {name: SERVICE_NAME, value: secure}
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: TLS_SERVER_CERT, value: /etc/echo-pair/crt}
    - {name: TLS_SERVER_PRIVKEY, value: /etc/echo-pair/key}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: images}
spec: {containers: [{name: a, image: none, command: [sleep, infinity]}]}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("images")
    certificate, key = folder / "c", folder / "k"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=secure"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    pair = tuple(base64.b64encode(path.read_bytes()).decode() for path in (certificate, key))
    manifest = folder / "world.yaml"
    manifest.write_text(WORLD % pair)
    with running("images", manifest) as made:
        yield made


def address(lab: Lab, pod: str) -> str:
    status = lab.get("pod", f"images/{pod}")["status"]
    assert isinstance(status, dict)
    return str(status["podIP"])


def curl(lab: Lab, url: str, *words: str) -> dict[str, object]:
    command = ("exec", "images/caller", "--", "curl", "-sSk", "--max-time", "5")
    told: dict[str, object] = json.loads(lab.must(*command, *words, url))
    return told


@pytest.mark.parametrize(
    ("url", "words", "proto"),
    [
        ("http://%s/", (), "HTTP/1.1"),
        ("http://%s:8080/", ("--http2-prior-knowledge",), "HTTP/2.0"),
        ("https://%s/", (), "HTTP/2.0"),
    ],
)
def test_echo_advanced_listens_where_its_arguments_say(
    lab: Lab, url: str, words: tuple[str, ...], proto: str
) -> None:
    told = curl(lab, url % address(lab, "advanced"), *words)
    assert (told["proto"], told["pod"], told["namespace"]) == (proto, "advanced", "images")


def test_echo_basic_has_its_certificate_from_a_secret(lab: Lab) -> None:
    told = curl(lab, f"https://{address(lab, 'secure')}:8443/")
    assert (told["pod"], told["service"]) == ("secure", "secure")
    assert isinstance(told["tls"], dict)
    assert told["tls"]["negotiatedProtocol"] == "h2"
    assert "Echoing back request made to / to client" in lab.must("logs", "images/secure")
