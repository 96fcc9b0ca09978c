"""The mesh configuration's providers, and how far it has paths normalised."""

from pathlib import Path

import pytest

from controlplane.mesh_config import MeshConfig, MeshConfigInvalidError, read_mesh_config
from controlplane.translate.settings import Provider
from mesh.model.routes import ExternalAuth

BOTH = """
extensionProviders:
- name: grpc
  envoyExtAuthzGrpc: {service: auth.shop.svc.cluster.local, port: 9000}
- name: http
  envoyExtAuthzHttp:
    service: shop/auth.shop.svc.cluster.local
    port: 8000
    timeout: 0.5s
    failOpen: true
    statusOnError: "503"
    pathPrefix: /check
    includeRequestHeadersInCheck: [X-Team]
    includeAdditionalHeadersInCheck: {X-From: waypoint}
    headersToUpstreamOnAllow: [X-User]
    headersToDownstreamOnAllow: [Set-Cookie]
    headersToDownstreamOnDeny: [Content-Type]
    includeRequestBodyInCheck: {maxRequestBytes: 1024, allowPartialMessage: true}
- name: spans
  zipkin: {service: zipkin.shop.svc.cluster.local, port: 9411}
pathNormalization: {normalization: MERGE_SLASHES}
"""


def config(tmp_path: Path, text: str) -> MeshConfig:
    path = tmp_path / "mesh.yaml"
    path.write_text(text)
    return read_mesh_config(path)


def test_every_field_of_a_provider_is_read(tmp_path: Path) -> None:
    found = config(tmp_path, BOTH)
    grpc = ExternalAuth(is_grpc=True, service="", port=9000, timeout_s=600)
    http = ExternalAuth(
        is_grpc=False,
        service="",
        port=8000,
        timeout_s=0.5,
        fails_open=True,
        error_status=503,
        path="/check",
        request_headers=("x-team",),
        added_headers=(("x-from", "waypoint"),),
        response_headers=("x-user",),
        answer_headers=("set-cookie",),
        denial_headers=("content-type",),
        max_body_octets=1024,
        sends_partial_body=True,
    )
    assert found.providers == (
        Provider("grpc", "auth.shop.svc.cluster.local", grpc),
        Provider("http", "shop/auth.shop.svc.cluster.local", http),
    )
    assert found.ignored == ("extensionProviders[2]",)
    assert found.path_normalisation == "MERGE_SLASHES"


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("extensionProviders: {}", "extensionProviders: must be a list"),
        ("{envoyExtAuthzGrpc: {service: a.b, port: 1}}", r"\[0\].name: is needed"),
        ("{name: x, envoyExtAuthzGrpc: {service: a.b}}", "port: is needed"),
        ("{name: x, envoyExtAuthzGrpc: {port: 1}}", "service: is needed"),
        ("{name: x, envoyExtAuthzGrpc: {service: a.b, port: 0}}", "port: 0 must be from 1"),
        ("{name: x, envoyExtAuthzGrpc: {service: a.b, port: 1, pathPrefix: /}}", "is not known"),
        ("{name: x, envoyExtAuthzHttp: {service: a.b, port: 1, statusOnError: 'x'}}", "no status"),
        ("{name: x, envoyExtAuthzHttp: {service: a.b, port: 1, pathPrefix: x}}", "begin with /"),
        (
            "{name: x, envoyExtAuthzHttp: {service: a.b, port: 1, headersToUpstreamOnAllow: [x*]}}",
            "is a pattern",
        ),
        (
            "{name: x, envoyExtAuthzGrpc: {service: a.b, port: 1, includeRequestBodyInCheck: {}}}",
            "maxRequestBytes: is needed",
        ),
        ("pathNormalization: {normalization: TWICE}", "must be one of NONE, BASE"),
        ("pathNormalization: 1", "pathNormalization: must be a mapping"),
    ],
)
def test_a_provider_that_cannot_be_asked_as_written_is_refused(
    tmp_path: Path, text: str, mend: str
) -> None:
    whole = text if text[0] != "{" else f"extensionProviders:\n- {text}\n"
    with pytest.raises(MeshConfigInvalidError, match=mend):
        config(tmp_path, whole)


def test_a_name_is_there_once(tmp_path: Path) -> None:
    one = "{name: x, envoyExtAuthzGrpc: {service: a.b, port: 1}}"
    with pytest.raises(MeshConfigInvalidError, match="'x' is there twice"):
        config(tmp_path, f"extensionProviders: [{one}, {one}]")
