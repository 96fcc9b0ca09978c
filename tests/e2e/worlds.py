"""The manifests of the end-to-end tests."""

import json
import sys

from tests.e2e.mesh import SERVER

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: front, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stock, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, labels: {app: front}}
spec:
  serviceAccountName: front
  nodeName: node-1
  containers: [{name: app, image: none, command: [sleep, infinity]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stock, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: stock}}
  template:
    metadata: {labels: {app: stock}}
    spec:
      serviceAccountName: stock
      nodeName: node-2
      containers: [{name: app, image: sluice/echo}]
---
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: shop}
spec:
  selector: {app: stock}
  ports: [{name: http, port: 80, targetPort: 3000}]
---
apiVersion: v1
kind: Service
metadata: {name: stock-pods, namespace: shop}
spec:
  clusterIP: None
  selector: {app: stock}
  ports: [{name: http, port: 3000}]
---
apiVersion: v1
kind: Namespace
metadata: {name: yard}
---
apiVersion: v1
kind: Pod
metadata: {name: outside, namespace: yard, labels: {app: outside}}
spec:
  nodeName: node-1
  containers: [{name: app, image: none, command: [sleep, infinity]}]
"""

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""

ONLY_FRONT = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-front, namespace: shop}
spec:
  selector: {matchLabels: {app: lines}}
  action: ALLOW
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]
"""

NOBODY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec:
  selector: {matchLabels: {app: lines}}
  action: DENY
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]
"""


def lines_pod(name: str, namespace: str, port: str) -> str:
    """A pod on node-2 that serves lines, and its service."""
    command = json.dumps([sys.executable, "-c", SERVER, port])
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}
spec:
  serviceAccountName: stock
  nodeName: node-2
  containers: [{{name: app, image: none, command: {command}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: tcp, port: {port}}}]
"""
