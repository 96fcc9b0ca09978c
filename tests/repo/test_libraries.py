"""Each foreign library is imported where its job is, and nowhere else (docs/decisions/0004)."""

import sys
from fnmatch import fnmatchcase
from functools import cache

import pytest

from tests.repo.tree import PACKAGES, dotted, imports, modules

HOME: dict[str, tuple[str, ...]] = {
    "trio": ("mesh.runtime.*", "ztunnel.*", "waypoint.*", "cni.*", "controlplane.*", "sluice.*"),
    "outcome": ("mesh.runtime.*",),
    "cryptography": (
        "mesh.runtime.tls*",
        "mesh.runtime.certificates*",
        "controlplane.*",
        "sluice.lab.echo.certificate",
    ),
    "OpenSSL": (
        "mesh.runtime.tls*",
        "mesh.runtime.relay*",
        "mesh.runtime.http2_*",  # closes what the relay reads and writes
        "mesh.runtime.worker.credentials",  # names the type of a context, and makes none
    ),
    "pyroute2": ("mesh.runtime.netlink*",),
    "grpc": ("mesh.runtime.grpc_bridge*", "mesh.proto.*"),
    "google": (
        "mesh.proto.*",
        "mesh.wire.*",
        "mesh.runtime.*",
        "controlplane.*",
        "sluice.lab.echo.*",
    ),
    "msgpack": ("mesh.wire.pack",),
    "hpack": ("mesh.wire.http2*",),
    "httptools": ("mesh.wire.http1*",),
    "yaml": ("mesh.runtime.manifests*", "ztunnel.*", "controlplane.*", "sluice.*"),
    "jwt": ("controlplane.*", "waypoint.worker.tokens"),
    "dns": ("mesh.wire.*", "mesh.runtime.*", "ztunnel.*", "sluice.lab*"),
    "prometheus_client": (
        "mesh.runtime.*",
        "mesh.observe*",
        "ztunnel.*",
        "controlplane.*",
        "cni.*",
    ),
    "typer": ("*.__main__", "*.cli*", "sluice.*"),
    "rich": ("sluice.*",),
    "h2": ("sluice.lab.echo.http2",),
    "wsproto": ("sluice.lab.echo.websockets",),
    "inotify_simple": ("mesh.runtime.manifests*",),
    "re2": ("mesh.routing.http.patterns",),
    # Not libraries, but as sharp: an interpreter-wide effect has one home.
    "ctypes": ("mesh.runtime.netns", "mesh.runtime.mounts"),
}


@cache
def foreign_imports() -> list[tuple[str, str]]:
    """(module, top-level name) of every import that is neither ours nor the standard library's."""
    return [
        (dotted(path), name.partition(".")[0])
        for path in modules()
        for name in imports(path)
        if name.partition(".")[0] not in PACKAGES
    ]


def test_every_foreign_library_has_a_home() -> None:
    strangers = {
        name for _, name in foreign_imports() if name not in sys.stdlib_module_names | HOME.keys()
    }
    assert not strangers, "a new dependency needs a line in docs/decisions/0004 and a home here"


@pytest.mark.parametrize("library", HOME)
def test_a_library_is_imported_only_where_its_job_is(library: str) -> None:
    homes = HOME[library]
    lost = {
        module
        for module, name in foreign_imports()
        if name == library and not any(fnmatchcase(module, home) for home in homes)
    }
    assert not lost
