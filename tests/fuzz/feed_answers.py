"""Invariant: any octets give the rows of an answer or a MeshError, never anything else."""

from contextlib import suppress

from mesh.errors import MeshError
from mesh.wire.feed_answers import (
    LiveConnection,
    connection_answers,
    metric_answers,
    read_connections,
    read_metrics,
)

ROWS = [("traffic", ("source", "web"), (1, 2, 3)), ("sockets", ("source",), (4,))]
LIVE = [LiveConnection("uid", "inbound", "10.0.0.1:1", "web:80", "10.0.0.2:80", "HBONE")]
SEEDS = (
    *(part.body for part in metric_answers(1, ROWS)),
    *(part.body for part in connection_answers(1, LIVE)),
)


def one_input(octets: bytes) -> None:
    """Read as both topics."""
    for read in (read_metrics, read_connections):
        with suppress(MeshError):
            read(octets)
