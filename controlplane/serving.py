"""The certificate of the control plane's own server, renewed while it runs."""

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from typing import Final

from controlplane.authority import Authority
from controlplane.issue import server_key_pair
from mesh.runtime.grpc_bridge.server import KeyPair

SERVER_LASTS: Final = dt.timedelta(hours=24)
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})


def server_names(root_namespace: str, listen_host: str) -> tuple[str, ...]:
    """The names under which clients know the server."""
    services = tuple(
        f"{name}.{root_namespace}.svc{domain}"
        for name in ("istiod", "sluice-control")
        for domain in ("", ".cluster.local")
    )
    own = () if listen_host in WILDCARDS else (listen_host,)
    return tuple(dict.fromkeys((*services, *LOOPBACK, *own)))


class ServingCertificate:
    """What the server shows: a new one once half of the last one's life has passed.

    Any thread may ask; whoever asks first after the half makes it.
    """

    def __init__(
        self,
        authority: Authority,
        names: Sequence[str],
        now: Callable[[], dt.datetime],
        lasts: dt.timedelta = SERVER_LASTS,
    ) -> None:
        """Make the first one."""
        self._authority, self._names, self._now, self._lasts = authority, names, now, lasts
        self._lock = threading.Lock()
        self._made_at = now()
        self._pair = self._make()

    def _make(self) -> KeyPair:
        return server_key_pair(self._authority, self._names, self._lasts, self._made_at)

    def key_pair(self) -> KeyPair:
        """The one to show now: the same (`is`) until it is renewed."""
        with self._lock:
            if not dt.timedelta() <= self._now() - self._made_at < self._lasts / 2:
                self._made_at = self._now()
                self._pair = self._make()
            return self._pair
