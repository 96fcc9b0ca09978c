"""Manifests of worlds about which questions are asked."""

from collections.abc import Iterable

from sluice.why.known import Known
from sluice.why.sources import known_of_texts

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop}
spec: {serviceAccountName: front, containers: [{name: app, image: sluice/echo}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stock, namespace: shop}
spec:
  selector: {matchLabels: {app: stock}}
  template:
    metadata: {labels: {app: stock}}
    spec: {serviceAccountName: stock, containers: [{name: app, image: sluice/echo}]}
---
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: shop}
spec: {selector: {app: stock}, ports: [{name: http, port: 80, targetPort: 3000}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec: {selector: {app: nobody}, ports: [{name: tcp, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: outside, namespace: yard}
spec: {containers: [{name: app, image: sluice/echo}]}
---
apiVersion: v1
kind: Service
metadata: {name: yard, namespace: yard}
spec: {selector: {app: yard}, ports: [{name: tcp, port: 80, targetPort: 3000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: yard, labels: {app: yard}}
spec: {containers: [{name: app, image: sluice/echo}]}
"""

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""

WAYPOINT = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec:
  gatewayClassName: sluice-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
"""

API = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {selector: {app: stock}, ports: [{name: http, port: 80, targetPort: 3000}]}
"""


def policy(name: str, action: str, rules: str, more: str = "") -> str:
    """A policy of namespace shop; `more` are further fields of its spec."""
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: shop}}
spec:
  action: {action}
  {more}
  rules: {rules}
"""


def route(backends: str, path: str = "/", more: str = "") -> str:
    """A route for the service api; `more` are further fields of its only rule."""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: api, namespace: shop}}
spec:
  parentRefs: [{{group: "", kind: Service, name: api, port: 80}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]
    backendRefs: {backends}
    {more}
"""


def known(*manifests: str) -> Known:
    """What a mesh of these would know."""
    return known_of_texts(numbered(manifests))


def numbered(manifests: Iterable[str]) -> list[tuple[str, str]]:
    """Each with the name of its file."""
    return [(f"world-{number}.yaml", text) for number, text in enumerate(manifests)]
