"""Rows about whose requests a route takes: of which Service, port, and namespace."""

from tests.e2e.conformance.row import V1, V2, Case, Row, headers_set, route, rule, service, to
from tests.e2e.conformance.world import CONSUMER, MESH

MARKED = {"x-marked": "yes"}
FRONTEND = route(
    "frontend", rule(to(V2), filters=[headers_set(X_Marked="yes")]), parents=[service(V2)]
)
UNMARKED = ("x-marked",)

ROWS = (
    Row(
        name="MeshFrontend",
        routes=(FRONTEND,),
        cases=(
            Case(url="http://echo-v2/", backend=V2, answered=MARKED),
            Case(url="http://{echo-v2}:8080/", backend=V2, not_answered=UNMARKED),
        ),
    ),
    Row(
        name="MeshFrontendHostname",
        routes=(FRONTEND,),
        cases=(
            Case(url="http://echo-v2/", headers={"Host": V1}, backend=V2, answered=MARKED),
            Case(url="http://echo-v1/", headers={"Host": V2}, backend=V1, not_answered=UNMARKED),
        ),
    ),
    Row(
        name="MeshPorts",
        routes=(
            route(
                "one-port",
                rule(to(V1), filters=[headers_set(X_Marked="one")]),
                parents=[service(V1, port=80)],
            ),
            route(
                "every-port",
                rule(to(V2), filters=[headers_set(X_Marked="every")]),
                parents=[service(V2)],
            ),
        ),
        cases=(
            Case(url="http://echo-v1/", backend=V1, answered={"x-marked": "one"}),
            Case(url="http://echo-v1:8080/", backend=V1, not_answered=UNMARKED),
            Case(url="http://echo-v2/", backend=V2, answered={"x-marked": "every"}),
            Case(url="http://echo-v2:8080/", backend=V2, answered={"x-marked": "every"}),
        ),
    ),
    Row(
        name="MeshConsumerRoute",
        routes=(
            route(
                "consumer",
                rule(to(V1, namespace=MESH), filters=[headers_set(X_Marked="yes")]),
                parents=[service(V1, namespace=MESH)],
                namespace=CONSUMER,
            ),
        ),
        cases=(
            Case(
                url=f"http://echo-v1.{MESH}/",
                client=f"{CONSUMER}/deploy/{V1}",
                backend=V1,
                answered=MARKED,
            ),
            Case(url=f"http://echo-v1.{MESH}/", backend=V1, not_answered=UNMARKED),
        ),
    ),
)
