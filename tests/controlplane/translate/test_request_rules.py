"""What an AuthorizationPolicy says, read for a waypoint."""

import pytest
import yaml

from controlplane.translate.request_rules import RequestDraft, read_request_rule
from mesh.model.address import parse_ip
from mesh.model.fields import Json, Part
from mesh.model.policy import Cidr, StringMatch
from mesh.model.policy import StringMatchKind as Kind
from mesh.model.request_policy import Attribute, AttributeCondition, PathTemplate, RequestRule


def read(text: str) -> tuple[RequestRule, list[str]]:
    draft = RequestDraft("shop")
    body: dict[str, Json] = yaml.safe_load(text)
    return read_request_rule(draft, Part("p", "spec.rules[0]", body)), draft.problems


def is_(text: str) -> StringMatch:
    return StringMatch(Kind.EXACT, text)


def test_sources_are_read() -> None:
    rule, problems = read(
        """
from:
- source:
    principals: [cluster.local/ns/a/sa/b]
    notPrincipals: ["*"]
    namespaces: [a*, "*b"]
    serviceAccounts: [web, yard/crane]
    ipBlocks: [10.0.0.0/8]
    remoteIpBlocks: [203.0.113.9]
    requestPrincipals: [issuer/ann]
- source: {notNamespaces: [c]}
"""
    )
    first, second = rule.sources
    assert problems == []
    assert {condition.attribute: condition for condition in first} == {
        Attribute.PRINCIPAL: AttributeCondition(
            attribute=Attribute.PRINCIPAL,
            wanted=(is_("cluster.local/ns/a/sa/b"),),
            unwanted=(StringMatch(Kind.PRESENCE),),
        ),
        Attribute.NAMESPACE: AttributeCondition(
            attribute=Attribute.NAMESPACE,
            wanted=(StringMatch(Kind.PREFIX, "a"), StringMatch(Kind.SUFFIX, "b")),
        ),
        Attribute.ACCOUNT: AttributeCondition(
            attribute=Attribute.ACCOUNT, wanted=(is_("shop/web"), is_("yard/crane"))
        ),
        Attribute.SOURCE_IP: AttributeCondition(
            attribute=Attribute.SOURCE_IP, wanted=(Cidr(parse_ip("10.0.0.0"), 8),)
        ),
        Attribute.REMOTE_IP: AttributeCondition(
            attribute=Attribute.REMOTE_IP, wanted=(Cidr(parse_ip("203.0.113.9"), 32),)
        ),
        Attribute.TOKEN_PRINCIPAL: AttributeCondition(
            attribute=Attribute.TOKEN_PRINCIPAL, wanted=(is_("issuer/ann"),)
        ),
    }
    assert second == (AttributeCondition(attribute=Attribute.NAMESPACE, unwanted=(is_("c"),)),)


def test_operations_are_read() -> None:
    rule, problems = read(
        """
to:
- operation:
    hosts: [example.com]
    ports: ["0080"]
    methods: [GET]
    paths: [/a, "/b*", "/c/{*}/d/{**}"]
    notPaths: ["/x/{**}"]
"""
    )
    ((hosts, ports, methods, paths),) = rule.operations
    assert problems == []
    assert hosts.wanted == (is_("example.com"),)
    assert ports.wanted == (is_("80"),)
    assert methods.wanted == (is_("GET"),)
    template = PathTemplate(("", "c", "{*}", "d", "{**}"))
    assert paths.wanted == (is_("/a"), StringMatch(Kind.PREFIX, "/b"), template)
    assert paths.unwanted == (PathTemplate(("", "x", "{**}")),)


@pytest.mark.parametrize(
    ("key", "attribute", "names"),
    [
        ("source.ip", Attribute.SOURCE_IP, ()),
        ("source.namespace", Attribute.NAMESPACE, ()),
        ("source.principal", Attribute.PRINCIPAL, ()),
        ("remote.ip", Attribute.REMOTE_IP, ()),
        ("destination.ip", Attribute.DESTINATION_IP, ()),
        ("destination.port", Attribute.DESTINATION_PORT, ()),
        ("connection.sni", Attribute.SERVER_NAME, ()),
        ("request.headers[X-Team]", Attribute.HEADER, ("x-team",)),
        ("request.auth.principal", Attribute.TOKEN_PRINCIPAL, ()),
        ("request.auth.audiences", Attribute.TOKEN_AUDIENCE, ()),
        ("request.auth.presenter", Attribute.TOKEN_PRESENTER, ()),
        ("request.auth.claims[iss]", Attribute.TOKEN_CLAIM, ("iss",)),
        ("request.auth.claims[a][b.c]", Attribute.TOKEN_CLAIM, ("a", "b.c")),
    ],
)
def test_conditions_are_read(key: str, attribute: Attribute, names: tuple[str, ...]) -> None:
    rule, problems = read(
        f"when: [{{key: '{key}', values: ['80.0.0.0'], notValues: ['80.0.0.1']}}]"
    )
    (condition,) = rule.conditions
    assert (condition.attribute, condition.key) == (attribute, names)
    if attribute is not Attribute.DESTINATION_PORT:
        assert problems == []
        assert len(condition.wanted) == len(condition.unwanted) == 1


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("from: [{source: {color: [red]}}]", "spec.rules[0].from[0].source.color"),
        ("from: [{sauce: {}}]", "spec.rules[0].from[0].sauce"),
        ("from: [{source: {}}]", "spec.rules[0].from[0].source"),
        ("fro: []", "spec.rules[0].fro"),
        ("from: [{source: {ipBlocks: [nowhere]}}]", "spec.rules[0].from[0].source.ipBlocks[0]"),
        ("from: [{source: {serviceAccounts: [a/b/c]}}]", "source.serviceAccounts[0]"),
        ("from: [{source: {serviceAccounts: ['a*']}}]", "source.serviceAccounts[0]"),
        ("to: [{operation: {ports: [http]}}]", "spec.rules[0].to[0].operation.ports[0]"),
        ("to: [{operation: {paths: ['/a{*}']}}]", "spec.rules[0].to[0].operation.paths[0]"),
        ("to: [{operation: {paths: ['/{**}/{**}']}}]", "operation.paths[0]"),
        ("to: [{operation: {paths: ['/{*}/b*']}}]", "operation.paths[0]"),
        ("to: [{operation: {paths: ['{*}']}}]", "operation.paths[0]"),
        ("to: [{operation: {methods: ['']}}]", "operation.methods[0]"),
        ("when: [{key: request.headers, values: [x]}]", "spec.rules[0].when[0].key"),
        ("when: [{key: 'request.headers[]', values: [x]}]", "spec.rules[0].when[0].key"),
        ("when: [{key: 'request.headers[a][b]', values: [x]}]", "spec.rules[0].when[0].key"),
        ("when: [{key: experimental.envoy.filters.x, values: [x]}]", "spec.rules[0].when[0].key"),
        ("when: [{key: source.namespace}]", "spec.rules[0].when[0].values"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, where: str) -> None:
    _, problems = read(text)
    assert problems[0].partition(": ")[0].endswith(where)
