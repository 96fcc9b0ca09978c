import pytest

from controlplane.translate.settings import Settings
from controlplane.translate.translation import Translation
from controlplane.translate.world import Translator
from mesh.model.address import parse_ip
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from mesh.model.policy import (
    Authorization,
    Cidr,
    Match,
    PolicyScope,
    StringMatch,
    StringMatchKind,
)


def translate(kind: str, spec: Json, namespace: str = "shop") -> Translation:
    found = KubernetesObject.of(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": kind,
            "metadata": {"name": "p", "namespace": namespace},
            "spec": spec,
        }
    )
    return Translator(Settings()).update({found.key: found})


def policy(spec: Json, namespace: str = "shop") -> Authorization:
    return translate("AuthorizationPolicy", spec, namespace).policies[f"{namespace}/p"]


def source(**fields: Json) -> Json:
    return {"from": [{"source": fields}]}


def only_match(action: str, source: Json) -> Match:
    (((match,),),) = policy({"action": action, "rules": [source]}).rules
    return match


@pytest.mark.parametrize(
    "limits",
    [
        {"namespaces": ["till"], "ipBlocks": ["10.0.0.0/33"]},
        {"namespaces": ["till"], "notIpBlocks": ["10.0.0.1", "garbage"]},
        {"namespaces": ["till"], "serviceAccounts": ["a/b/c"]},
        {"namespaces": ["till"], "notServiceAccounts": ["till/"]},
    ],
)
def test_an_allowance_that_lost_a_limit_allows_nothing(limits: dict[str, Json]) -> None:
    assert only_match("ALLOW", source(**limits)) == Match()


def test_an_allowance_that_lost_one_of_several_values_allows_the_others() -> None:
    match = only_match("ALLOW", source(ipBlocks=["10.0.0.0/8", "garbage"]))

    assert match == Match(source_ips=(Cidr(parse_ip("10.0.0.0"), 8),))


def test_a_denial_that_lost_a_limit_denies_more() -> None:
    match = only_match("DENY", source(namespaces=["till"], notIpBlocks=["garbage"]))

    assert match == Match(namespaces=(StringMatch(StringMatchKind.EXACT, "till"),))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"action": "ALOW"}, "spec.action: 'ALOW' is no action: write ALLOW or DENY; whatever"),
        ({"rules": {}}, "spec.rules: must be a list, is a mapping"),
        (
            {"rules": [{"from": [{"source": []}]}]},
            "spec.rules[0].from[0].source: must be a mapping",
        ),
        (
            {"rules": [{"to": [{"operation": {"ports": [80]}}]}]},
            "spec.rules[0].to[0].operation.ports[0]: must be a string, is the number 80",
        ),
        (
            {"rules": [{"to": [{"operation": {"ports": ["http"]}}]}]},
            "spec.rules[0].to[0].operation.ports[0]: 'http' is left out: write a number",
        ),
        (
            {"rules": [{"when": [{"key": "destination.ip", "values": ["x"]}]}]},
            "spec.rules[0].when[0].values[0]: 'x' is left out: write an address, or a range",
        ),
        ({"selector": {}}, "spec.selector: is empty and selects every workload of the namespace"),
        (
            {"selector": {"matchLabels": {"app": 1}}},
            "spec.selector.matchLabels.app: must be a string",
        ),
        ({"action": "AUDIT"}, "spec.action: the node proxy has no AUDIT"),
        (
            {"targetRef": {"kind": "Service", "name": "web"}},
            "spec.targetRefs: Service shop/web was not found: make it, or name another",
        ),
    ],
)
def test_what_is_wrong_with_a_policy_names_the_field_and_the_mend(
    spec: Json, sentence: str
) -> None:
    (told,) = translate("AuthorizationPolicy", spec).sentences

    assert told.startswith(f"AuthorizationPolicy shop/p: {sentence}")


def test_an_empty_selector_selects_the_whole_namespace() -> None:
    assert policy({"selector": {}}).scope is PolicyScope.NAMESPACE
    assert policy({"selector": {}}, "istio-system").scope is PolicyScope.GLOBAL


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"mtls": {"mode": "STRONG"}}, "spec.mtls.mode: 'STRONG' is no mode: write STRICT,"),
        ({"mtls": {"mode": True}}, "spec.mtls.mode: must be a string, is true"),
        (
            {"portLevelMtls": {"http": {"mode": "STRICT"}}},
            "spec.portLevelMtls.http: is no port: write a number from 1 to 65535",
        ),
        (
            {"portLevelMtls": {"99999999": {"mode": "STRICT"}}},
            "spec.portLevelMtls.99999999: is no port",
        ),
        (
            {"portLevelMtls": {"80": {"mode": "STRICT"}}},
            "spec.portLevelMtls: ports need a selector.matchLabels: add one",
        ),
    ],
)
def test_what_is_wrong_with_a_peer_authentication_names_the_field_and_the_mend(
    spec: Json, sentence: str
) -> None:
    (told,) = translate("PeerAuthentication", spec).sentences

    assert told.startswith(f"PeerAuthentication shop/p: {sentence}")
