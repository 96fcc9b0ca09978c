"""The shapes of the Gateway API's kinds, and of Istio's and our own that go with them.

Words that the API limits to a few are let be where the control plane says in a status what is
wrong: the lab refuses what an API server would prune or refuse, and slips of the pen.
"""

from typing import Final

from sluice.lab.schema import Fields, ListOf, OneOf, Shape
from sluice.lab.shapes import ANYTHING, FLAG, NUMBER, PORT, STRINGS, TEXT, TEXTS, whole

_OPEN: Final = Fields({}, is_open=True)
_SELECTOR: Final = Fields({"matchLabels": STRINGS, "matchExpressions": ListOf(ANYTHING)})
_PARAMETERS: Final = Fields(
    {"group": TEXT, "kind": TEXT, "name": TEXT, "namespace": TEXT}, frozenset({"kind", "name"})
)
_OBJECT: Final = Fields(
    {"group": TEXT, "kind": TEXT, "name": TEXT, "namespace": TEXT}, frozenset({"name"})
)

GATEWAY_CLASS: Final = whole(
    Fields(
        {"controllerName": TEXT, "parametersRef": _PARAMETERS, "description": TEXT},
        frozenset({"controllerName"}),
    ),
    needs_spec=True,
)

_FROM: Final = Fields({"from": OneOf(("Same", "All", "Selector", "None")), "selector": _SELECTOR})
_ALLOWED: Final = Fields({
    "namespaces": _FROM,
    "kinds": ListOf(Fields({"group": TEXT, "kind": TEXT}, frozenset({"kind"}))),
})  # fmt: skip
_LISTENER: Final = Fields({
    "name": TEXT, "hostname": TEXT, "port": PORT, "protocol": TEXT, "allowedRoutes": _ALLOWED,
    "tls": Fields({
        "mode": TEXT, "certificateRefs": ListOf(_OBJECT), "options": STRINGS,
        "frontendValidation": _OPEN,
    }),
}, frozenset({"name", "port", "protocol"}))  # fmt: skip
GATEWAY: Final = whole(Fields({
    "gatewayClassName": TEXT, "listeners": ListOf(_LISTENER),
    "addresses": ListOf(Fields({"type": TEXT, "value": TEXT})),
    "infrastructure": Fields({
        "labels": STRINGS, "annotations": STRINGS, "parametersRef": _PARAMETERS,
    }),
    "allowedListeners": Fields({"namespaces": _FROM}), "tls": _OPEN, "backendTLS": _OPEN,
    "defaultScope": TEXT,
}, frozenset({"gatewayClassName", "listeners"})), needs_spec=True)  # fmt: skip

_PARENT: Final = Fields({
    "group": TEXT, "kind": TEXT, "name": TEXT, "namespace": TEXT, "sectionName": TEXT,
    "port": PORT,
}, frozenset({"name"}))  # fmt: skip
_BACKEND: Final[dict[str, Shape]] = {
    "group": TEXT, "kind": TEXT, "name": TEXT, "namespace": TEXT, "port": PORT, "weight": NUMBER,
}  # fmt: skip
_BACKEND_REF: Final = Fields(_BACKEND, frozenset({"name"}))
_HEADER: Final = Fields({"name": TEXT, "value": TEXT}, frozenset({"name", "value"}))
_HEADERS: Final = Fields({"set": ListOf(_HEADER), "add": ListOf(_HEADER), "remove": TEXTS})
_PATH: Final = Fields(
    {"type": TEXT, "replaceFullPath": TEXT, "replacePrefixMatch": TEXT}, frozenset({"type"})
)
_MIRROR: Final = Fields({
    "backendRef": _BACKEND_REF, "percent": NUMBER,
    "fraction": Fields({"numerator": NUMBER, "denominator": NUMBER}, frozenset({"numerator"})),
}, frozenset({"backendRef"}))  # fmt: skip
_EXTENSION: Final = Fields({"group": TEXT, "kind": TEXT, "name": TEXT}, frozenset({"name"}))
_CORS: Final = Fields({
    "allowOrigins": TEXTS, "allowMethods": TEXTS, "allowHeaders": TEXTS, "exposeHeaders": TEXTS,
    "allowCredentials": FLAG, "maxAge": NUMBER,
})  # fmt: skip
_EXTERNAL_AUTH: Final = Fields({
    "protocol": TEXT, "backendRef": _BACKEND_REF,
    "grpc": Fields({"allowedHeaders": TEXTS}),
    "http": Fields({"path": TEXT, "allowedHeaders": TEXTS, "allowedResponseHeaders": TEXTS}),
    "forwardBody": Fields({"maxSize": NUMBER}),
}, frozenset({"backendRef"}))  # fmt: skip
_HTTP_FILTER: Final = Fields({
    "type": TEXT, "requestHeaderModifier": _HEADERS, "responseHeaderModifier": _HEADERS,
    "requestMirror": _MIRROR, "extensionRef": _EXTENSION, "cors": _CORS,
    "requestRedirect": Fields({
        "scheme": TEXT, "hostname": TEXT, "path": _PATH, "port": PORT, "statusCode": NUMBER,
    }),
    "urlRewrite": Fields({"hostname": TEXT, "path": _PATH}), "externalAuth": _EXTERNAL_AUTH,
}, frozenset({"type"}))  # fmt: skip
_VALUE_MATCH: Final = Fields(
    {"type": TEXT, "name": TEXT, "value": TEXT}, frozenset({"name", "value"})
)
_HTTP_MATCH: Final = Fields({
    "path": Fields({"type": TEXT, "value": TEXT}), "headers": ListOf(_VALUE_MATCH),
    "queryParams": ListOf(_VALUE_MATCH), "method": TEXT,
})  # fmt: skip
_SESSION: Final = Fields({
    "sessionName": TEXT, "absoluteTimeout": TEXT, "idleTimeout": TEXT, "type": TEXT,
    "cookieConfig": Fields({"lifetimeType": TEXT}),
})  # fmt: skip
_ROUTE: Final[dict[str, Shape]] = {
    "parentRefs": ListOf(_PARENT), "hostnames": TEXTS, "useDefaultGateways": TEXT,
}  # fmt: skip
HTTP_ROUTE: Final = whole(Fields({
    **_ROUTE,
    "rules": ListOf(Fields({
        "name": TEXT, "matches": ListOf(_HTTP_MATCH), "filters": ListOf(_HTTP_FILTER),
        "backendRefs": ListOf(Fields(
            {**_BACKEND, "filters": ListOf(_HTTP_FILTER)}, frozenset({"name"})
        )),
        "timeouts": Fields({"request": TEXT, "backendRequest": TEXT}),
        "retry": Fields({"codes": ListOf(NUMBER), "attempts": NUMBER, "backoff": TEXT}),
        "sessionPersistence": _SESSION,
    })),
}), needs_spec=True)  # fmt: skip
_GRPC_FILTER: Final = Fields({
    "type": TEXT, "requestHeaderModifier": _HEADERS, "responseHeaderModifier": _HEADERS,
    "requestMirror": _MIRROR, "extensionRef": _EXTENSION,
}, frozenset({"type"}))  # fmt: skip
_GRPC_MATCH: Final = Fields({
    "method": Fields({"type": TEXT, "service": TEXT, "method": TEXT}),
    "headers": ListOf(_VALUE_MATCH),
})  # fmt: skip
GRPC_ROUTE: Final = whole(Fields({
    **_ROUTE,
    "rules": ListOf(Fields({
        "name": TEXT, "matches": ListOf(_GRPC_MATCH), "filters": ListOf(_GRPC_FILTER),
        "backendRefs": ListOf(Fields(
            {**_BACKEND, "filters": ListOf(_GRPC_FILTER)}, frozenset({"name"})
        )),
        "sessionPersistence": _SESSION,
    })),
}), needs_spec=True)  # fmt: skip
STREAM_ROUTE: Final = whole(Fields({
    **_ROUTE,
    "rules": ListOf(Fields({"name": TEXT, "backendRefs": ListOf(_BACKEND_REF)})),
}, frozenset({"rules"})), needs_spec=True)  # fmt: skip
"""TCPRoute and TLSRoute."""

REFERENCE_GRANT: Final = whole(Fields({
    "from": ListOf(Fields(
        {"group": TEXT, "kind": TEXT, "namespace": TEXT}, frozenset({"kind", "namespace"})
    )),
    "to": ListOf(Fields({"group": TEXT, "kind": TEXT, "name": TEXT}, frozenset({"kind"}))),
}, frozenset({"from", "to"})), needs_spec=True)  # fmt: skip

_ALT_NAME: Final = Fields({"type": TEXT, "hostname": TEXT, "uri": TEXT}, frozenset({"type"}))
BACKEND_TLS_POLICY: Final = whole(Fields({
    "targetRefs": ListOf(Fields(
        {"group": TEXT, "kind": TEXT, "name": TEXT, "sectionName": TEXT},
        frozenset({"kind", "name"}),
    )),
    "validation": Fields({
        "caCertificateRefs": ListOf(_OBJECT), "wellKnownCACertificates": TEXT, "hostname": TEXT,
        "subjectAltNames": ListOf(_ALT_NAME),
    }, frozenset({"hostname"})),
    "options": STRINGS,
}, frozenset({"targetRefs", "validation"})), needs_spec=True)  # fmt: skip

DESTINATION_RULE: Final = whole(Fields({
    "host": TEXT, "trafficPolicy": _OPEN, "exportTo": TEXTS, "workloadSelector": _SELECTOR,
    "subsets": ListOf(Fields(
        {"name": TEXT, "labels": STRINGS, "trafficPolicy": _OPEN}, frozenset({"name"})
    )),
}, frozenset({"host"})), needs_spec=True)  # fmt: skip

_JWT_HEADER: Final = Fields({"name": TEXT, "prefix": TEXT}, frozenset({"name"}))
REQUEST_AUTHENTICATION: Final = whole(Fields({
    "selector": Fields({"matchLabels": STRINGS}), "targetRef": _OBJECT,
    "targetRefs": ListOf(_OBJECT),
    "jwtRules": ListOf(Fields({
        "issuer": TEXT, "audiences": TEXTS, "jwksUri": TEXT, "jwks": TEXT,
        "fromHeaders": ListOf(_JWT_HEADER), "fromParams": TEXTS, "fromCookies": TEXTS,
        "outputPayloadToHeader": TEXT, "forwardOriginalToken": FLAG, "timeout": TEXT,
        "outputClaimToHeaders": ListOf(Fields({"header": TEXT, "claim": TEXT})),
        "spaceDelimitedClaims": TEXTS,
    })),
}))  # fmt: skip

FILTER: Final = whole(Fields({
    "python": ANYTHING, "config": _OPEN, "budgetMs": NUMBER, "failure": TEXT,
}, frozenset({"python"})), needs_spec=True)  # fmt: skip
