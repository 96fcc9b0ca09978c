"""The shapes of the kinds that a lab holds. Fields of a pod that change nothing here are let be."""

from typing import Final

from sluice.lab.schema import Fields, ListOf, MapOf, OneOf, Scalar, Shape

TEXT, NUMBER, FLAG = Scalar.TEXT, Scalar.NUMBER, Scalar.FLAG
STRINGS, PORT, ANYTHING = Scalar.STRINGS, Scalar.PORT, Scalar.ANYTHING
TEXTS: Final = ListOf(TEXT)

METADATA: Final = Fields({
    "name": TEXT, "generateName": TEXT, "namespace": TEXT, "labels": STRINGS,
    "annotations": STRINGS, "uid": TEXT, "resourceVersion": TEXT, "generation": NUMBER,
    "creationTimestamp": TEXT,
    "deletionTimestamp": TEXT, "deletionGracePeriodSeconds": NUMBER, "finalizers": TEXTS,
    "ownerReferences": ListOf(Fields({"uid": TEXT}, is_open=True)), "managedFields": ANYTHING,
    "selfLink": TEXT,
}, frozenset({"name"}))  # fmt: skip

SELECTOR: Final = Fields({"matchLabels": STRINGS, "matchExpressions": ListOf(ANYTHING)})
ONLY_LABELS: Final = Fields({"matchLabels": STRINGS})


def whole(spec: Fields | None = None, *, needs_spec: bool = False, **more: Shape) -> Fields:
    """The shape of a whole object: with what all of them have, its spec, and more fields."""
    fields: dict[str, Shape] = {
        "apiVersion": TEXT,
        "kind": TEXT,
        "metadata": METADATA,
        "status": ANYTHING,
        **more,
    }
    if spec is not None:
        fields["spec"] = spec
    return Fields(fields, frozenset({"spec"} if needs_spec else ()))


PLAIN: Final = whole(Fields({}, is_open=True))
NODE: Final = whole(Fields({}, is_open=True))
SERVICE_ACCOUNT: Final = whole(
    automountServiceAccountToken=FLAG,
    secrets=ListOf(ANYTHING),
    imagePullSecrets=ListOf(ANYTHING),
)
DATA: Final = whole(data=STRINGS, stringData=STRINGS, binaryData=STRINGS, type=TEXT, immutable=FLAG)

_KEY: Final = Fields({"name": TEXT, "key": TEXT, "optional": FLAG}, frozenset({"name", "key"}))
_SOURCE: Final = Fields({
    "fieldRef": Fields({"fieldPath": TEXT, "apiVersion": TEXT}, frozenset({"fieldPath"})),
    "configMapKeyRef": _KEY, "secretKeyRef": _KEY,
    "resourceFieldRef": Fields({}, is_open=True),
})  # fmt: skip
_ENV: Final = Fields({"name": TEXT, "value": TEXT, "valueFrom": _SOURCE}, frozenset({"name"}))
_WHOLE_SOURCE: Final = Fields({"name": TEXT, "optional": FLAG}, frozenset({"name"}))
_ENV_FROM: Final = Fields({
    "prefix": TEXT, "configMapRef": _WHOLE_SOURCE, "secretRef": _WHOLE_SOURCE,
})  # fmt: skip
_CONTAINER_PORT: Final = Fields({
    "name": TEXT, "containerPort": PORT, "protocol": OneOf(("TCP", "UDP", "SCTP")),
    "hostPort": PORT, "hostIP": TEXT,
}, frozenset({"containerPort"}))  # fmt: skip
_MOUNT: Final = Fields({
    "name": TEXT, "mountPath": TEXT, "subPath": TEXT, "readOnly": FLAG,
}, frozenset({"name", "mountPath"}), is_open=True)  # fmt: skip
_PROBE: Final = Fields({
    "httpGet": Fields({
        "port": Scalar.PORT_OR_NAME, "path": TEXT,
    }, frozenset({"port"}), is_open=True),
    "tcpSocket": Fields({"port": Scalar.PORT_OR_NAME, "host": TEXT}, frozenset({"port"})),
    "exec": Fields({"command": TEXTS}),
    "periodSeconds": NUMBER, "initialDelaySeconds": NUMBER, "timeoutSeconds": NUMBER,
    "failureThreshold": NUMBER, "successThreshold": NUMBER,
}, is_open=True)  # fmt: skip
_CONTAINER: Final = Fields({
    "name": TEXT, "image": TEXT, "command": TEXTS, "args": TEXTS, "workingDir": TEXT,
    "env": ListOf(_ENV), "envFrom": ListOf(_ENV_FROM), "ports": ListOf(_CONTAINER_PORT),
    "volumeMounts": ListOf(_MOUNT), "readinessProbe": _PROBE,
}, frozenset({"name"}), is_open=True)  # fmt: skip
_ITEM: Final = Fields({"key": TEXT, "path": TEXT, "mode": NUMBER}, frozenset({"key", "path"}))
_PROJECTED: Final = Fields({
    "serviceAccountToken": Fields({
        "audience": TEXT, "expirationSeconds": NUMBER, "path": TEXT,
    }, frozenset({"path"})),
    "secret": Fields({"name": TEXT, "items": ListOf(_ITEM), "optional": FLAG}),
    "configMap": Fields({"name": TEXT, "items": ListOf(_ITEM), "optional": FLAG}),
})  # fmt: skip
_VOLUME: Final = Fields({
    "name": TEXT,
    "secret": Fields({
        "secretName": TEXT, "items": ListOf(_ITEM), "optional": FLAG, "defaultMode": NUMBER,
    }, frozenset({"secretName"})),
    "configMap": Fields({
        "name": TEXT, "items": ListOf(_ITEM), "optional": FLAG, "defaultMode": NUMBER,
    }, frozenset({"name"})),
    "emptyDir": Fields({}, is_open=True),
    "projected": Fields({"sources": ListOf(_PROJECTED), "defaultMode": NUMBER}),
}, frozenset({"name"}), is_open=True)  # fmt: skip
_POD_SPEC: Final = Fields({
    "containers": ListOf(_CONTAINER), "initContainers": ListOf(_CONTAINER),
    "volumes": ListOf(_VOLUME), "serviceAccountName": TEXT, "serviceAccount": TEXT,
    "nodeName": TEXT, "nodeSelector": STRINGS, "hostNetwork": FLAG, "hostname": TEXT,
    "subdomain": TEXT, "terminationGracePeriodSeconds": NUMBER,
    "restartPolicy": OneOf(("Always", "OnFailure", "Never")),
}, frozenset({"containers"}), is_open=True)  # fmt: skip
POD: Final = whole(_POD_SPEC, needs_spec=True)

_TEMPLATE_METADATA: Final = Fields({**METADATA.fields})
DEPLOYMENT: Final = whole(Fields({
    "replicas": NUMBER, "selector": SELECTOR,
    "template": Fields({"metadata": _TEMPLATE_METADATA, "spec": _POD_SPEC}, frozenset({"spec"})),
    "strategy": ANYTHING, "minReadySeconds": NUMBER, "revisionHistoryLimit": NUMBER,
    "progressDeadlineSeconds": NUMBER, "paused": FLAG,
}, frozenset({"selector", "template"})), needs_spec=True)  # fmt: skip

_SERVICE_PORT: Final = Fields({
    "name": TEXT, "port": PORT, "targetPort": Scalar.PORT_OR_NAME, "appProtocol": TEXT,
    "protocol": OneOf(("TCP", "UDP", "SCTP")), "nodePort": PORT,
}, frozenset({"port"}))  # fmt: skip
SERVICE: Final = whole(Fields({
    "selector": STRINGS, "ports": ListOf(_SERVICE_PORT), "clusterIP": TEXT, "clusterIPs": TEXTS,
    "type": OneOf(("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")),
    "externalName": TEXT, "ipFamilies": ListOf(OneOf(("IPv4", "IPv6"))),
    "ipFamilyPolicy": OneOf(("SingleStack", "PreferDualStack", "RequireDualStack")),
    "publishNotReadyAddresses": FLAG, "sessionAffinity": OneOf(("None", "ClientIP")),
    "sessionAffinityConfig": ANYTHING, "internalTrafficPolicy": OneOf(("Cluster", "Local")),
    "externalTrafficPolicy": OneOf(("Cluster", "Local")), "trafficDistribution": TEXT,
    "externalIPs": TEXTS, "loadBalancerIP": TEXT, "loadBalancerClass": TEXT,
    "loadBalancerSourceRanges": TEXTS, "allocateLoadBalancerNodePorts": FLAG,
    "healthCheckNodePort": NUMBER,
}), needs_spec=True)  # fmt: skip

_ENDPOINT: Final = Fields({
    "addresses": TEXTS, "hostname": TEXT, "nodeName": TEXT, "zone": TEXT,
    "conditions": Fields({"ready": FLAG, "serving": FLAG, "terminating": FLAG}),
    "targetRef": Fields({"kind": TEXT, "name": TEXT, "namespace": TEXT, "uid": TEXT}, is_open=True),
    "hints": ANYTHING, "deprecatedTopology": ANYTHING,
}, frozenset({"addresses"}))  # fmt: skip
ENDPOINT_SLICE: Final = Fields({
    **whole().fields,
    "addressType": OneOf(("IPv4", "IPv6", "FQDN")),
    "endpoints": ListOf(_ENDPOINT),
    "ports": ListOf(Fields({
        "name": TEXT, "port": PORT, "protocol": OneOf(("TCP", "UDP", "SCTP")), "appProtocol": TEXT,
    })),
}, frozenset({"addressType"}))  # fmt: skip

_MODE: Final = Fields({"mode": OneOf(("UNSET", "DISABLE", "PERMISSIVE", "STRICT"))})
PEER_AUTHENTICATION: Final = whole(
    Fields({"selector": ONLY_LABELS, "mtls": _MODE, "portLevelMtls": MapOf(_MODE)})
)

_TARGET: Final = Fields({
    "group": TEXT, "kind": TEXT, "name": TEXT, "namespace": TEXT,
}, frozenset({"kind", "name"}))  # fmt: skip
_WHO: Final = Fields(dict.fromkeys((
    "principals", "notPrincipals", "requestPrincipals", "notRequestPrincipals", "namespaces",
    "notNamespaces", "serviceAccounts", "notServiceAccounts", "ipBlocks", "notIpBlocks",
    "remoteIpBlocks", "notRemoteIpBlocks", "trustDomains", "notTrustDomains",
), TEXTS))  # fmt: skip
_WHAT: Final = Fields(dict.fromkeys((
    "hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths",
), TEXTS))  # fmt: skip
_RULE: Final = Fields({
    "from": ListOf(Fields({"source": _WHO})),
    "to": ListOf(Fields({"operation": _WHAT})),
    "when": ListOf(Fields({"key": TEXT, "values": TEXTS, "notValues": TEXTS}, frozenset({"key"}))),
})  # fmt: skip
AUTHORIZATION_POLICY: Final = whole(Fields({
    "selector": ONLY_LABELS, "targetRef": _TARGET, "targetRefs": ListOf(_TARGET),
    "action": OneOf(("ALLOW", "DENY", "AUDIT", "CUSTOM")), "rules": ListOf(_RULE),
    "provider": Fields({"name": TEXT}),
}))  # fmt: skip
