"""Policies of services to which a route of another namespace leads."""

import pytest

from mesh.model.policy import StringMatch, StringMatchKind
from mesh.model.request_policy import (
    Attribute,
    AttributeCondition,
    RequestAction,
    RequestPolicy,
    RequestRule,
)
from mesh.model.routes import (
    Attachment,
    Backend,
    ExternalAuth,
    Filters,
    HeaderChange,
    Mirror,
    PathModifier,
    PathModifierKind,
    Rewrite,
    Route,
    RouteKind,
    RouteRule,
)
from mesh.model.workload import AppProtocol, Port, Workload
from mesh.wire.http.messages import first
from tests.mesh.worlds import service
from tests.waypoint.worker.engine.stage import CLIENT, WEB, Stage, endpoint, to, web
from tests.waypoint.worker.engine.test_exchange import status
from tests.waypoint.worker.engine.test_judging import ISSUER, OWN, tokens
from waypoint.worker.engine.judging import PolicyJudge
from waypoint.worker.engine.keys import KeyRing

VAULT = "shop/vault"
"""Of the same namespace as the web service, and behind the same waypoint."""
ADMIN = Rewrite(path=PathModifier(PathModifierKind.FULL, "/admin"))


def deny(service_: str, *paths: str, **fields: object) -> RequestPolicy:
    patterns = tuple(StringMatch(StringMatchKind.EXACT, each) for each in paths)
    conditions = (AttributeCondition(attribute=Attribute.PATH, wanted=patterns),) if paths else ()
    rule = RequestRule(conditions=conditions)
    return RequestPolicy(**{
        "namespace": "shop", "name": "p", "action": RequestAction.DENY, "rules": (rule,),
        "targets": (Attachment(service_),), **fields,
    })  # fmt: skip


def stage_with(rule: RouteRule, *policies: object, namespace: str = "yard") -> Stage:
    vault = service("vault", "10.9.0.3", ports=(Port(80, 8080, AppProtocol.HTTP11),))
    ends: list[Workload] = [endpoint("a"), endpoint("v", serves=VAULT)]
    stage = Stage(web(), vault, *ends)
    judge = PolicyJudge(OWN, KeyRing(stage.context, stage.world), stage.context.epoch)
    stage.context.judge = judge
    for number, each in enumerate(policies):
        judge.put(str(number), each)  # type: ignore[arg-type] - policies, all of them
    route = Route(
        kind=RouteKind.HTTP, namespace=namespace, name="r", parents=(Attachment(WEB),),
        rules=(rule,),
    )  # fmt: skip
    stage.context.routes.put("r", route)
    stage.context.routes_version += 1
    return stage


def get(stage: Stage, path: str = "/", *fields: tuple[bytes, bytes]) -> int:
    peer = stage.peer(identity=CLIENT.identity.__class__("cluster.local", "yard", "client"))
    found = status(stage.get(path, peer=peer, fields=list(fields)))
    assert not stage.bugs
    return found


@pytest.mark.parametrize(("namespace", "code"), [("yard", 403), ("shop", 200)])
def test_a_path_that_a_clients_own_route_writes_is_judged_too(namespace: str, code: int) -> None:
    rule = RouteRule(filters=Filters(rewrite=ADMIN), backends=(to(),))
    stage = stage_with(rule, deny(WEB, "/admin"), namespace=namespace)
    assert get(stage, "/public") == code


@pytest.mark.parametrize(("namespace", "code"), [("yard", 403), ("shop", 200)])
def test_the_policies_of_somebody_elses_backend_count(namespace: str, code: int) -> None:
    stage = stage_with(RouteRule(backends=(to(VAULT),)), deny(VAULT), namespace=namespace)
    assert get(stage) == code
    assert ("v" in stage.servers) is (code == 200)


def test_somebody_elses_backend_without_policies_is_a_backend() -> None:
    assert get(stage_with(RouteRule(backends=(to(VAULT),)), deny(VAULT, "/admin"))) == 200
    assert (
        get(stage_with(RouteRule(backends=(Backend(service="shop/none", port=80),)), deny(VAULT)))
        == 503
    )


def test_no_copy_goes_where_the_client_might_not_go() -> None:
    mirror = Mirror(service=VAULT, port=80)
    rule = RouteRule(filters=Filters(mirrors=(mirror,), rewrite=ADMIN), backends=(to(),))
    stage = stage_with(rule, deny(VAULT, "/admin"))
    assert get(stage) == 200
    assert "v" not in stage.servers
    assert get(stage_with(rule, deny(VAULT, "/other"))) == 200


def test_nobody_is_asked_whom_the_client_might_not_ask() -> None:
    auth = ExternalAuth(is_grpc=False, service=VAULT, port=80, path="/admin")
    rule = RouteRule(filters=Filters(external_auth=auth), backends=(to(),))
    stage = stage_with(rule, deny(VAULT, "/admin/x"))
    assert get(stage, "/x") == 403
    assert "v" not in stage.servers
    assert get(stage, "/y") == 200


def test_what_a_token_says_is_not_a_routes_to_change() -> None:
    change = HeaderChange(put=(("x-user", "root"),))
    rule = RouteRule(filters=Filters(request_headers=change), backends=(to(),))
    named = tokens(claim_headers=(("x-user", "sub"),))
    known = RequestRule(conditions=(
        AttributeCondition(attribute=Attribute.TOKEN_PRINCIPAL, wanted=(
            StringMatch(StringMatchKind.EXACT, "me/ann"),)),
    ))  # fmt: skip
    allow = deny(WEB, action=RequestAction.ALLOW, rules=(known,))
    for policies in ((named,), (named, allow)):
        stage = stage_with(rule, *policies)
        assert get(stage, "/", (b"authorization", ISSUER.token())) == 200
        assert first(stage.server("a").requests[0].head.fields, b"x-user") == b"ann"
    assert get(stage_with(rule, named, allow)) == 403
