"""The world in which the mesh tests of Gateway API's suite run, written anew for a lab.

Two versions of an echo with a Service each, and one Service for both; a namespace of consumers with
an echo of its own. The echoes are the clients too.
"""

MESH = "gateway-conformance-mesh"
CONSUMER = "gateway-conformance-mesh-consumer"
WAYPOINT_NAME = "waypoint"

_NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels: {{istio.io/dataplane-mode: ambient{more}}}
"""

_ECHO = """
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: echo}}}}
spec:
  selector: {{matchLabels: {{app: echo, version: {version}}}}}
  template:
    metadata: {{labels: {{app: echo, version: {version}}}}}
    spec:
      serviceAccountName: {name}
      nodeName: {node}
      containers:
      - name: echo
        image: sluice.example/echo-advanced
        args: [--port=80, --port=8080, --port=443, --tls=443, --tcp=9090, --grpc=7070]
"""

_SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{{selector}}}
  ports:
  - {{name: http, port: 80, appProtocol: http}}
  - {{name: http-alt, port: 8080, appProtocol: http}}
  - {{name: https, port: 443}}
  - {{name: tcp, port: 9090}}
  - {{name: grpc, port: 7070, appProtocol: grpc}}
"""


def _namespace(namespace: str, more: str = "") -> str:
    return _NAMESPACE.format(namespace=namespace, more=more)


def _echo(namespace: str, version: str, node: str) -> str:
    name = f"echo-{version}"
    return _ECHO.format(name=name, namespace=namespace, version=version, node=node)


def _service(name: str, selector: str) -> str:
    return _SERVICE.format(name=name, namespace=MESH, selector=selector)


WORLD = "---".join(
    [
        _namespace(MESH),
        _echo(MESH, "v1", "node-1"),
        _echo(MESH, "v2", "node-2"),
        _service("echo-v1", "app: echo, version: v1"),
        _service("echo-v2", "app: echo, version: v2"),
        _service("echo", "app: echo"),
        _namespace(CONSUMER),
        _echo(CONSUMER, "v1", "node-1"),
    ]
)

WAYPOINT = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {WAYPOINT_NAME}, namespace: {MESH}}}
spec:
  gatewayClassName: sluice-waypoint
  listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]
---
{_namespace(MESH, f", istio.io/use-waypoint: {WAYPOINT_NAME}")}
"""
"""The mesh namespace gets a waypoint, and its Services use it."""
