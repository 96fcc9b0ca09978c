"""The shapes of Istio's kinds for what is outside the cluster."""

from typing import Final

from sluice.lab.schema import Fields, ListOf, MapOf, OneOf, Shape
from sluice.lab.shapes import NUMBER, PORT, STRINGS, TEXT, TEXTS, whole

_PLACE: Final[dict[str, Shape]] = {
    "address": TEXT, "ports": MapOf(PORT), "labels": STRINGS, "network": TEXT, "locality": TEXT,
    "weight": NUMBER, "serviceAccount": TEXT,
}  # fmt: skip
WORKLOAD_ENTRY: Final = whole(Fields(_PLACE), needs_spec=True)
SERVICE_ENTRY: Final = whole(Fields({
    "hosts": TEXTS, "addresses": TEXTS, "exportTo": TEXTS, "subjectAltNames": TEXTS,
    "ports": ListOf(Fields(
        {"number": PORT, "name": TEXT, "protocol": TEXT, "targetPort": PORT},
        frozenset({"number", "name"}),
    )),
    "location": OneOf(("MESH_EXTERNAL", "MESH_INTERNAL")),
    "resolution": OneOf(("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS")),
    "endpoints": ListOf(Fields(_PLACE)), "workloadSelector": Fields({"labels": STRINGS}),
}, frozenset({"hosts"})), needs_spec=True)  # fmt: skip
