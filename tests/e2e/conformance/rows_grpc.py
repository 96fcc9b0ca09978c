"""Rows about GRPCRoutes."""

from tests.e2e.conformance.row import V1, V2, Case, Row, Shares, header, route, rule, service, to
from tests.e2e.conformance.rows_headers import modifier
from tests.e2e.conformance.world import MESH

PORT = 7070
URL = f"grpc://echo:{PORT}"
PARENTS = [service("echo", port=PORT)]


def asked(kind: str, **more: str) -> dict[str, str]:
    return {"kind": kind, **{name.replace("_", "-"): value for name, value in more.items()}}


ROWS = (
    Row(
        name="MeshGRPCRouteRequestHeaderModifier",
        routes=(
            route(
                "grpc-headers",
                rule(
                    to(V1, PORT),
                    matches=[header("kind", "set")],
                    filters=[modifier(sets={"x-set": "new"})],
                ),
                rule(
                    to(V1, PORT),
                    matches=[header("kind", "add")],
                    filters=[modifier(adds={"x-add": "more"})],
                ),
                rule(
                    to(V1, PORT),
                    matches=[header("kind", "remove")],
                    filters=[modifier(removes=("x-remove",))],
                ),
                rule(
                    to(V2, PORT),
                    matches=[header("kind", "many")],
                    filters=[
                        modifier(
                            sets={"x-set-1": "one"},
                            adds={"x-add-1": "one", "x-add-2": "two"},
                            removes=("x-remove-1", "x-remove-2"),
                        )
                    ],
                ),
                parents=PARENTS,
                kind="GRPCRoute",
            ),
        ),
        cases=(
            Case(
                url=URL,
                headers=asked("set", x_set="old", other="stays"),
                status=0,
                backend=V1,
                seen={"Kind": "set", "X-Set": "new", "Other": "stays"},
            ),
            Case(
                url=URL,
                headers=asked("add", x_add="old"),
                status=0,
                backend=V1,
                seen={"X-Add": "old,more"},
            ),
            Case(
                url=URL,
                headers=asked("remove", x_remove="old"),
                status=0,
                backend=V1,
                seen={"Kind": "remove"},
                not_seen=("X-Remove",),
            ),
            Case(
                url=URL,
                headers=asked("many", x_set_2="stays", x_add_2="old", x_remove_2="old"),
                client=f"{MESH}/deploy/{V2}",
                status=0,
                backend=V2,
                seen={
                    "X-Set-1": "one",
                    "X-Set-2": "stays",
                    "X-Add-1": "one",
                    "X-Add-2": "old,two",
                },
                not_seen=("X-Remove-1", "X-Remove-2"),
            ),
            Case(url=URL, headers=asked("other"), status=12),
        ),
    ),
    Row(
        name="MeshGRPCRouteWeight",
        routes=(
            route(
                "grpc-weight",
                rule(
                    to(V1, PORT, weight=70),
                    to(V2, PORT, weight=30),
                    to("is-not-there", PORT, weight=0),
                ),
                parents=PARENTS,
                kind="GRPCRoute",
            ),
        ),
        shares=(Shares(url=URL, shares={V1: 0.7, V2: 0.3}),),
    ),
)
