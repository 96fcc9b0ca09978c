"""Policies with targets: what waypoints are told, and what the status says."""

import json
from dataclasses import replace

import pytest
import yaml

from controlplane.translate.settings import Provider, Settings
from controlplane.translate.translation import Translation
from controlplane.translate.world import Translator
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.policy import Action
from mesh.model.request_policy import (
    Attribute,
    RequestAction,
    RequestPolicy,
    TokenPlace,
    TokenPolicy,
    TokenRule,
)
from mesh.model.routes import Attachment, ExternalAuth
from tests.controlplane.translate.routing import WEB, manifest, objects

AUTH = ExternalAuth(is_grpc=True, service="", port=80, timeout_s=0.5)
SETTINGS = Settings(
    providers=(
        Provider("asker", "web-v2.shop.svc.cluster.local", AUTH),
        Provider("portless", "web-v2.shop.svc.cluster.local", replace(AUTH, port=9)),
        Provider("nowhere", "nobody.shop", AUTH),
        Provider("outside", "auth.example.com", AUTH),
    )
)
TO_WEB: Json = [{"kind": "Service", "name": "web"}]
TO_WAY: Json = [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "way"}]
TO_CLASS: Json = [
    {"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": "sluice-waypoint"}
]
GET: Json = [{"to": [{"operation": {"methods": ["GET"]}}]}]
KEYS = json.dumps({"keys": [{"kty": "RSA"}]})


def policy(
    spec: Json,
    kind: str = "AuthorizationPolicy",
    namespace: str = "shop",
    annotations: dict[str, str] | None = None,
) -> str:
    metadata = {"name": "p", "namespace": namespace, "annotations": annotations or {}}
    version = "security.istio.io/v1"
    return yaml.safe_dump({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


def translated(*texts: str) -> Translation:
    return Translator(SETTINGS).update(objects(*texts))


def told(translation: Translation) -> dict[str, tuple[RequestPolicy | TokenPolicy, set[str]]]:
    return {
        name: (each.value, set(each.waypoints))
        for name, each in translation.configuration.items()
        if isinstance(each.value, RequestPolicy | TokenPolicy)
    }


def only(translation: Translation) -> RequestPolicy | TokenPolicy:
    [(value, waypoints)] = told(translation).values()
    assert waypoints == {"shop/way"}
    return value


def said(translation: Translation, namespace: str = "shop") -> tuple[Json, Json, Json]:
    [status] = [
        status
        for key, status in translation.statuses.items()
        if (key.namespace, key.name) == (namespace, "p")
    ]
    match status["conditions"]:
        case [{"type": "WaypointAccepted", "status": met, "reason": reason, "message": message}]:
            return met, reason, message
        case other:
            raise AssertionError(other)


# AuthorizationPolicy.


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (None, RequestAction.ALLOW),
        ("ALLOW", RequestAction.ALLOW),
        ("DENY", RequestAction.DENY),
        ("AUDIT", RequestAction.AUDIT),
    ],
)
def test_a_policy_for_a_service_goes_to_its_waypoint(
    action: str | None, expected: RequestAction
) -> None:
    found = translated(policy({"targetRefs": TO_WEB, "action": action, "rules": GET}))
    value = only(found)
    assert isinstance(value, RequestPolicy)
    assert (value.action, value.targets, value.waypoints) == (expected, (Attachment(WEB),), ())
    [rule] = value.rules
    assert rule.operations[0][0].attribute is Attribute.METHOD
    assert not value.problem
    assert said(found)[:2] == ("True", "Accepted")
    assert not found.policies, "node proxies do not get it"


@pytest.mark.parametrize(("targets", "namespace"), [(TO_WAY, "shop"), (TO_CLASS, "istio-system")])
def test_a_policy_for_a_gateway_or_its_class_is_for_all_that_it_serves(
    targets: Json, namespace: str
) -> None:
    classes = manifest(
        "GatewayClass",
        {"controllerName": "sluice.dev/gateway-controller"},
        "sluice-waypoint",
    )
    found = translated(classes, policy({"targetRefs": targets, "rules": [{}]}, namespace=namespace))
    value = only(found)
    assert (value.targets, value.waypoints) == ((), ("shop/way",))
    assert said(found, namespace)[:2] == ("True", "Accepted")


def test_a_policy_of_a_class_follows_its_gateways() -> None:
    way = ObjectKey("Gateway", "shop", "way")
    classes = manifest(
        "GatewayClass",
        {"controllerName": "sluice.dev/gateway-controller"},
        "sluice-waypoint",
    )
    world = objects(classes, policy({"targetRefs": TO_CLASS}, namespace="istio-system"))
    world |= {ObjectKey("Node", "", str(number)): _node(number) for number in range(40)}
    translator = Translator(SETTINGS)
    assert told(translator.update(world))
    without = {key: found for key, found in world.items() if key != way}
    assert not told(translator.update(without))
    assert told(translator.update({**without, way: world[way]}))


def _node(number: int) -> KubernetesObject:
    metadata: Json = {"name": str(number)}
    return KubernetesObject.of({"apiVersion": "v1", "kind": "Node", "metadata": metadata})


@pytest.mark.parametrize(
    ("targets", "reason", "words"),
    [
        ([{"kind": "Service", "name": "nobody"}], "TargetNotFound", "Service shop/nobody was not"),
        (
            [{"group": "networking.istio.io", "kind": "ServiceEntry", "name": "x"}],
            "TargetNotFound",
            "ServiceEntry shop/x was not found",
        ),
        (
            [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "x"}],
            "TargetNotFound",
            "Gateway shop/x was not found",
        ),
        ([{"kind": "Service", "name": "elsewhere"}], "AncestorNotBound", "is an ExternalName"),
        (
            [{"kind": "Service", "name": "far", "namespace": "yard"}],
            "AncestorNotBound",
            "targetRefs[0].namespace: must be the policy's own",
        ),
        (TO_CLASS, "AncestorNotBound", "only policies of istio-system"),
        ([{"kind": "Pod", "name": "x"}], "AncestorNotBound", "'Pod' is nothing that a policy"),
    ],
)
def test_a_policy_that_reaches_nobody_says_why(targets: Json, reason: str, words: str) -> None:
    found = translated(policy({"action": "DENY", "targetRefs": targets, "rules": [{}]}))
    assert told(found) == {}
    met, why, message = said(found)
    assert (met, why) == ("False", reason)
    assert words in str(message)


def test_one_missing_target_does_not_take_the_protection_of_another_away() -> None:
    targets: Json = [
        {"kind": "Service", "name": "nobody"},
        {"kind": "Service", "name": "web"},
    ]
    found = translated(policy({"action": "DENY", "targetRefs": targets, "rules": [{}]}))
    assert only(found).targets == (Attachment(WEB),)
    assert said(found)[:2] == ("False", "TargetNotFound")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"rules": [{"from": [{"source": {"colours": ["red"]}}]}]}, "colours: is not known"),
        ({"colour": "red"}, "spec.colour: is not known"),
        ({"selector": {"matchLabels": {"app": "web"}}}, "cannot be beside targetRefs"),
        ({"action": "CUSTOM"}, "there is no provider ''"),
        ({"action": "CUSTOM", "provider": {"name": "x"}}, "there is no provider 'x'"),
        ({"action": "CUSTOM", "provider": {"name": "nowhere"}}, "there is no Service shop/nobody"),
        ({"action": "CUSTOM", "provider": {"name": "outside"}}, "is no Service of this cluster"),
        ({"action": "CUSTOM", "provider": {"name": "portless"}}, "has no port 9"),
        ({"action": "DENY", "provider": {"name": "asker"}}, "is for the action CUSTOM only"),
    ],
)
def test_what_a_waypoint_cannot_enforce_is_told_and_closes(
    spec: dict[str, Json], words: str
) -> None:
    found = translated(policy({"action": "DENY", "rules": [{}], "targetRefs": TO_WEB, **spec}))
    value = only(found)
    assert isinstance(value, RequestPolicy)
    assert value.problem
    met, reason, message = said(found)
    assert (met, reason) == ("False", "Invalid")
    assert words in str(message)
    assert any(words in sentence for sentence in found.sentences)


def test_a_custom_policy_knows_whom_it_asks() -> None:
    spec: Json = {
        "action": "CUSTOM",
        "provider": {"name": "asker"},
        "targetRefs": TO_WEB,
        "rules": GET,
    }
    value = only(translated(policy(spec)))
    assert isinstance(value, RequestPolicy)
    assert value.provider == replace(AUTH, service="shop/web-v2.shop.svc.cluster.local")


def test_a_policy_that_is_only_tried_says_so() -> None:
    text = policy({"targetRefs": TO_WEB}, annotations={"istio.io/dry-run": "true"})
    value = only(translated(text))
    assert isinstance(value, RequestPolicy)
    assert value.dry_run


# RequestAuthentication.


def rule(**fields: Json) -> tuple[TokenRule, Translation]:
    spec: Json = {"targetRefs": TO_WEB, "jwtRules": [{"issuer": "me", **fields}]}
    found = translated(policy(spec, "RequestAuthentication"))
    value = only(found)
    assert isinstance(value, TokenPolicy)
    assert value.targets == (Attachment(WEB),)
    [read] = value.rules
    return read, found


def test_every_field_of_a_token_rule_is_read() -> None:
    read, found = rule(
        audiences=["a", "b"],
        jwks=KEYS,
        fromHeaders=[{"name": "X-Token", "prefix": "JWT "}],
        fromParams=["token"],
        fromCookies=["session"],
        outputPayloadToHeader="X-Payload",
        outputClaimToHeaders=[{"header": "X-Sub", "claim": "sub"}],
        forwardOriginalToken=True,
        timeout="1.5s",
    )
    assert read == TokenRule(
        issuer="me",
        audiences=("a", "b"),
        keys=KEYS,
        places=(
            TokenPlace(header="x-token", prefix="JWT "),
            TokenPlace(parameter="token"),
            TokenPlace(cookie="session"),
        ),
        forwards=True,
        payload_header="x-payload",
        claim_headers=(("x-sub", "sub"),),
        timeout_s=1.5,
    )
    assert said(found)[:2] == ("True", "Accepted")
    assert not found.problems


def test_without_places_tokens_are_where_they_always_are() -> None:
    read, _ = rule(jwksUri="http://keys.shop/jwks")
    assert read.places == TokenRule(issuer="x").places
    assert read.keys_uri == "http://keys.shop/jwks"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"jwks": "{}"}, "jwks: must be a JSON Web Key Set"),
        ({"jwksUri": "https://keys.example/"}, "fetched by plain HTTP from a service of the mesh"),
        ({}, "jwksUri: is needed, or jwks"),
    ],
)
def test_keys_that_cannot_be_had_are_told(fields: dict[str, Json], words: str) -> None:
    _, found = rule(**fields)
    assert any(words in sentence for sentence in found.sentences)
    assert said(found)[0] == "True"


@pytest.mark.parametrize(
    "fields",
    [
        {"colour": "red"},
        {"fromHeaders": [{"name": "x", "colour": "red"}]},
        {"outputClaimToHeaders": [{"header": "x", "claim": "y", "colour": "red"}]},
    ],
)
def test_unknown_fields_of_a_token_rule_close(fields: dict[str, Json]) -> None:
    spec: Json = {"targetRefs": TO_WEB, "jwtRules": [{"issuer": "me", "jwks": KEYS, **fields}]}
    found = translated(policy(spec, "RequestAuthentication"))
    assert only(found).problem
    assert said(found)[:2] == ("False", "Invalid")


def test_tokens_need_targets() -> None:
    found = translated(policy({"jwtRules": [{"issuer": "me"}]}, "RequestAuthentication"))
    assert told(found) == {}
    assert "spec.targetRefs: are needed" in found.sentences[0]


# Policies that never made sense.


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("AuthorizationPolicy", {"action": "DENY", "rules": {}}),
        ("AuthorizationPolicy", {"action": "DENNY"}),
        ("AuthorizationPolicy", {"action": 1}),
        ("AuthorizationPolicy", {"rules": [{"to": [{"operation": {"ports": [80]}}]}]}),
        ("RequestAuthentication", {"jwtRules": [{"issuer": 5}]}),
        ("RequestAuthentication", {"jwtRules": [{}]}),
    ],
)
def test_a_policy_that_never_made_sense_closes_its_targets(
    kind: str, spec: dict[str, Json]
) -> None:
    found = translated(policy({"targetRefs": TO_WEB, **spec}, kind))
    value = only(found)
    assert value.problem == "policy_unreadable"
    assert value.targets == (Attachment(WEB),)
    met, reason, message = said(found)
    assert (met, reason) == ("False", "Invalid")
    assert "whatever it might refuse is refused" in str(message)


@pytest.mark.parametrize(
    ("spec", "action", "rules"),
    [
        ({"action": "DENY", "rules": {}}, Action.DENY, ((),)),
        ({"action": "DENNY"}, Action.DENY, ((),)),
        ({"rules": {}}, Action.ALLOW, ()),
    ],
)
def test_at_node_proxies_it_closes_whom_it_selects(
    spec: dict[str, Json], action: Action, rules: tuple[()]
) -> None:
    selector: Json = {"matchLabels": {"app": "web"}}
    found = translated(policy({"selector": selector, **spec}))
    sent = found.policies["shop/p"]
    assert (sent.action, sent.rules) == (action, rules)
    [status] = [s for key, s in found.statuses.items() if key.kind == "AuthorizationPolicy"]
    assert "UnsupportedValue" in str(status)


def test_what_made_sense_before_stays_in_force() -> None:
    good = policy({"action": "DENY", "targetRefs": TO_WEB, "rules": GET})
    bad = policy({"action": "DENY", "targetRefs": TO_WEB, "rules": {}})
    translator = Translator(SETTINGS)
    before = only(translator.update(objects(good)))
    assert only(translator.update(objects(bad))) == before
    translator = Translator(SETTINGS)
    assert only(translator.update(objects(bad))).problem
    assert only(translator.update(objects(good))) == before
    assert only(translator.update(objects(bad))) == before
