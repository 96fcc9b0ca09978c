"""Policies at a waypoint's engine: who passes, what the others hear, and what is told of it."""

import json
import logging
from base64 import urlsafe_b64encode
from collections.abc import Mapping

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.model.identity import Identity
from mesh.model.policy import StringMatch, StringMatchKind
from mesh.model.request_policy import (
    Attribute,
    AttributeCondition,
    RequestAction,
    RequestPolicy,
    RequestRule,
    TokenPolicy,
    TokenRule,
)
from mesh.model.routes import Attachment, ExternalAuth
from mesh.model.workload import AppProtocol, Port
from mesh.routing.http.paths import PathNormalisation
from mesh.routing.waypoint import Called
from mesh.wire.http.messages import RequestHead, ResponseHead, first
from tests.mesh.runtime.http.users import Caller as Asked
from tests.mesh.worlds import pod, service
from tests.waypoint.worker.engine.stage import CLIENT, WEB, Stage, endpoint, web
from tests.waypoint.worker.engine.test_exchange import field, status
from waypoint.worker.engine.exchange import Exchange
from waypoint.worker.engine.judging import PASSES, PolicyJudge
from waypoint.worker.engine.keys import DOUBT_S, REFRESH_S, KeyRing

OWN = "shop/waypoint"
GUARD = "shop/guard"
STRANGER = Identity("cluster.local", "yard", "stranger")
ALLOW, DENY, AUDIT, CUSTOM = RequestAction


def of(attribute: Attribute, text: str, key: tuple[str, ...] = ()) -> AttributeCondition:
    kind = StringMatchKind.EXACT
    if text.endswith("*"):
        kind, text = StringMatchKind.PREFIX, text[:-1]
    return AttributeCondition(attribute=attribute, key=key, wanted=(StringMatch(kind, text),))


def when(*conditions: AttributeCondition) -> RequestRule:
    return RequestRule(conditions=conditions)


def policy(action: RequestAction, *rules: RequestRule, **fields: object) -> RequestPolicy:
    known = {"namespace": "shop", "name": "p", "targets": (Attachment(WEB),), **fields}
    return RequestPolicy(action=action, rules=rules, **known)


def judged(*policies: RequestPolicy | TokenPolicy) -> Stage:
    guard = service("guard", "10.9.0.2", ports=(Port(80, 8080, AppProtocol.HTTP11),))
    stage = Stage(web(), endpoint("a"), guard, endpoint("g", serves=GUARD))
    ring = KeyRing(stage.context, stage.world)
    stage.context.judge = PolicyJudge(OWN, ring, stage.context.epoch)
    for number, each in enumerate(policies):
        stage.context.judge.put(str(number), each)
    stage.run()
    return stage


def judge_of(stage: Stage) -> PolicyJudge:
    judge = stage.context.judge
    assert isinstance(judge, PolicyJudge)
    return judge


GET_BY_CLIENT = when(
    of(Attribute.METHOD, "GET"), of(Attribute.PRINCIPAL, CLIENT.identity.principal)
)


# Requests.


def test_only_what_is_allowed_passes_and_the_others_hear_istios_words() -> None:
    stage = judged(policy(ALLOW, GET_BY_CLIENT))
    assert status(stage.get()) == 200
    refused = stage.get(method="POST", content=b"x")
    assert (status(refused), refused.content) == (403, b"RBAC: access denied")
    assert status(stage.get(peer=stage.peer(identity=STRANGER))) == 403
    assert stage.context.metrics.policy_count("", "policy_not_allowed") == 2
    assert len(stage.server("a").requests) == 1


def test_a_grpc_call_is_refused_in_its_own_words() -> None:
    stage = judged(policy(DENY, RequestRule()))
    refused = stage.get(method="POST", fields=[(b"content-type", b"application/grpc")])
    assert status(refused) == 200
    assert field(refused, b"grpc-status") == b"7"
    assert field(refused, b"grpc-message") == b"RBAC: access denied"
    assert refused.is_whole


@pytest.mark.parametrize("how", PathNormalisation)
@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/x",
        "//admin",
        "/%61dmin",
        "/admin;x",
        "/admin;x=1/y",
        "/a/../admin",
        "/a/..;/admin",
        "/a/..%2fadmin",
        "/%2fadmin",
        "/%5cadmin",
        "/./admin",
        "/admin?x=y",
        "/admin%2fx",
        "/%2e/admin",
    ],
)
def test_no_spelling_of_a_path_goes_round_a_denial(how: PathNormalisation, path: str) -> None:
    stage = judged(
        policy(DENY, when(of(Attribute.PATH, "/admin")), when(of(Attribute.PATH, "/admin/*")))
    )
    stage.context.normalisation = how
    assert status(stage.get(path)) == 403
    assert status(stage.get("/public")) == 200


def test_a_policy_is_for_its_services_and_for_all_of_its_gateways() -> None:
    other = policy(DENY, RequestRule(), targets=(Attachment(GUARD),))
    assert status(judged(other).get()) == 200
    ours = policy(DENY, RequestRule(), targets=(), waypoints=(OWN,))
    assert status(judged(ours).get()) == 403
    theirs = policy(DENY, RequestRule(), targets=(), waypoints=("shop/another",))
    assert status(judged(theirs).get()) == 200
    nobodys = policy(DENY, RequestRule(), targets=())
    assert status(judged(nobodys).get()) == 200


def test_a_policy_of_a_service_is_not_for_its_pods_by_their_addresses() -> None:
    stage = judged(policy(DENY, RequestRule()))
    found = stage.world.service(WEB)
    by_address = Called(service=found, workload=pod("a", "10.1.0.97"), port=8080, address=None)
    assert not judge_of(stage).concerns(by_address)
    judge_of(stage).put("x", policy(DENY, RequestRule(), targets=(), waypoints=(OWN,)))
    assert judge_of(stage).concerns(by_address)


def test_a_policy_that_cannot_be_enforced_refuses_until_it_goes() -> None:
    stage = judged(policy(DENY, problem="policy_unreadable"))
    assert status(stage.get()) == 403
    assert stage.context.metrics.policy_count("shop/p", "policy_unenforceable") == 1
    judge_of(stage).remove("0")
    assert status(stage.get()) == 200


def test_what_is_audited_or_tried_passes_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    stage = judged(
        policy(AUDIT, RequestRule(), name="watch"), policy(DENY, RequestRule(), dry_run=True)
    )
    with caplog.at_level(logging.INFO, "access"):
        assert status(stage.get()) == 200
    [line] = [each for each in caplog.records if each.name == "access"]
    assert (line.__dict__["audited"], line.__dict__["dry_run"]) == ("shop/watch", "shop/p")
    assert stage.context.metrics.policy_count("shop/watch", "audited") == 1
    assert stage.context.metrics.policy_count("shop/p", "dry_run") == 1


def test_a_refusal_names_its_policy_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    stage = judged(policy(DENY, RequestRule()))
    with caplog.at_level(logging.INFO, "access"):
        stage.get()
    [line] = [each for each in caplog.records if each.name == "access"]
    assert (line.__dict__["policy"], line.__dict__["code"]) == ("shop/p", "policy_denied")


# Somebody else's word.

ASKS = ExternalAuth(is_grpc=False, service=GUARD, port=80, answer_headers=("x-seen",))


def test_who_matches_a_custom_policy_needs_the_providers_yes() -> None:
    stage = judged(policy(CUSTOM, when(of(Attribute.METHOD, "POST")), provider=ASKS))
    stage.server("g").echoes = False
    assert status(stage.get()) == 200
    assert "g" not in {name for name, server in stage.servers.items() if server.requests}
    asked = stage.get(method="POST", content=b"")
    assert asked.answer is None
    stage.server("g").requests[0].stream.answer(
        ResponseHead(200, [(b"x-seen", b"1"), (b"x-not", b"1")]), end=True
    )
    stage.run()
    assert status(asked) == 200
    assert (field(asked, b"x-seen"), field(asked, b"x-not")) == (b"1", None)


def test_a_denial_comes_before_any_question() -> None:
    stage = judged(
        policy(CUSTOM, RequestRule(), provider=ASKS, name="asks"), policy(DENY, RequestRule())
    )
    assert status(stage.get()) == 403
    assert not stage.server("g").requests


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, 403), ({"error_status": 503}, 503), ({"fails_open": True}, 200)],
)
def test_no_word_is_no(fields: Mapping[str, object], expected: int) -> None:
    asks = ExternalAuth(**{"is_grpc": False, "service": GUARD, "port": 80, **fields})
    stage = judged(policy(CUSTOM, RequestRule(), provider=asks))
    stage.refuses.add("g")
    assert status(stage.get()) == expected


def test_fields_are_added_to_the_question_and_named_ones_to_a_refusal() -> None:
    asks = ExternalAuth(
        is_grpc=False,
        service=GUARD,
        port=80,
        added_headers=(("x-from", "waypoint"),),
        denial_headers=("x-why",),
    )
    stage = judged(policy(CUSTOM, RequestRule(), provider=asks))
    stage.server("g").echoes = False
    asked = stage.get()
    question = stage.server("g").requests[0]
    assert first(question.head.fields, b"x-from") == b"waypoint"
    question.stream.answer(ResponseHead(401, [(b"x-why", b"1"), (b"x-not", b"1")]), end=True)
    stage.run()
    assert (status(asked), field(asked, b"x-why"), field(asked, b"x-not")) == (401, b"1", None)


# Tokens.


class Issuer:
    """Somebody who signs tokens."""

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def keys(self) -> str:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**public, "kid": self.name, "alg": "ES256"}]})

    def token(self, **claims: object) -> bytes:
        known = {"iss": "me", "sub": "ann", **claims}
        signed = jwt.encode(known, self.key, "ES256", {"kid": self.name})
        return f"Bearer {signed}".encode()


ISSUER = Issuer()


def tokens(**fields: object) -> TokenPolicy:
    rule = TokenRule(**{"issuer": "me", "keys": ISSUER.keys, **fields})
    return TokenPolicy(namespace="shop", name="t", targets=(Attachment(WEB),), rules=(rule,))


def get(stage: Stage, token: bytes | None, **arguments: object) -> tuple[int, bytes | None]:
    fields = [] if token is None else [(b"authorization", token)]
    asked = stage.get(fields=fields, **arguments)
    return status(asked), field(asked, b"www-authenticate")


def test_a_bad_token_is_refused_and_none_at_all_is_not() -> None:
    stage = judged(tokens(audiences=("web",)))
    invalid = b'Bearer error="invalid_token"'
    assert get(stage, None) == (200, None)
    assert get(stage, ISSUER.token(aud="web")) == (200, None)
    assert get(stage, b"Bearer x") == (401, invalid)
    assert get(stage, Issuer().token(aud="web")) == (401, invalid)
    assert get(stage, ISSUER.token(aud="web", exp=1)) == (401, invalid)
    assert get(stage, ISSUER.token(aud="web", iss="you")) == (401, invalid)
    assert get(stage, ISSUER.token(aud="other")) == (403, b'Bearer error="insufficient_scope"')
    refused = stage.get(
        fields=[(b"authorization", b"Bearer x"), (b"content-type", b"application/grpc")]
    )
    assert field(refused, b"grpc-status") == b"16"


def test_policies_ask_for_what_a_token_claims() -> None:
    ann = when(of(Attribute.TOKEN_PRINCIPAL, "me/ann"), of(Attribute.TOKEN_CLAIM, "a", ("team",)))
    stage = judged(tokens(payload_header="x-claims"), policy(ALLOW, ann))
    assert get(stage, None)[0] == 403
    assert get(stage, ISSUER.token(team="b"))[0] == 403
    assert get(stage, ISSUER.token(team="a"))[0] == 200
    served = stage.server("a").requests[0].head.fields
    assert first(served, b"authorization") is None
    claims = json.dumps({"iss": "me", "sub": "ann", "team": "a"}, separators=(",", ":"))
    assert first(served, b"x-claims") == urlsafe_b64encode(claims.encode()).rstrip(b"=")


def test_a_token_policy_that_cannot_be_enforced_lets_nothing_pass() -> None:
    broken = TokenPolicy(
        namespace="shop", name="t", targets=(Attachment(WEB),), problem="policy_unreadable"
    )
    assert get(judged(broken), None)[0] == 403


# Keys over HTTP.

URI = "http://guard/keys?v=1"


def hand_out(stage: Stage, keys: str, number: int, code: int = 200) -> None:
    request = stage.server("g").requests[number]
    assert (request.head.method, request.head.target) == (b"GET", b"/keys?v=1")
    assert request.head.authority == b"guard"
    request.stream.answer(ResponseHead(code))
    request.stream.send(keys.encode())
    request.stream.finish([])
    stage.run()


def fetching() -> Stage:
    stage = judged()
    stage.server("g").echoes = False
    judge_of(stage).put("t", tokens(keys="", keys_uri=URI))
    stage.run()
    return stage


def test_keys_are_fetched_and_until_they_are_there_tokens_are_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = fetching()
    with caplog.at_level(logging.INFO, "access"):
        assert get(stage, ISSUER.token())[0] == 401
    assert caplog.records[-1].__dict__["code"] == "request_token_keys"
    hand_out(stage, ISSUER.keys, 0)
    assert get(stage, ISSUER.token())[0] == 200
    assert get(stage, None)[0] == 200


def test_keys_are_fetched_again_and_the_last_good_ones_stay() -> None:
    stage = fetching()
    hand_out(stage, ISSUER.keys, 0)
    stage.wait(REFRESH_S + 1)
    hand_out(stage, "garbage", 1)
    assert get(stage, ISSUER.token())[0] == 200
    stage.wait(1.5)
    hand_out(stage, "{}", 2, 500)
    assert get(stage, ISSUER.token())[0] == 200
    stage.wait(2.5)
    newer = Issuer("two")
    hand_out(stage, newer.keys, 3)
    assert get(stage, newer.token())[0] == 200
    assert get(stage, ISSUER.token())[0] == 401


def test_a_key_that_is_not_known_is_looked_for_but_not_all_the_time() -> None:
    stage = fetching()
    hand_out(stage, ISSUER.keys, 0)
    newer = Issuer("two")
    assert get(stage, newer.token())[0] == 401
    assert len(stage.server("g").requests) == 1
    stage.wait(DOUBT_S)
    assert get(stage, newer.token())[0] == 401
    assert get(stage, newer.token())[0] == 401
    assert len(stage.server("g").requests) == 2
    hand_out(stage, newer.keys, 1)
    assert get(stage, newer.token())[0] == 200


@pytest.mark.parametrize("uri", ["https://guard/", "http://nobody.shop/", "http://[x/", "x"])
def test_keys_that_cannot_be_fetched_refuse_tokens(uri: str) -> None:
    stage = judged(tokens(keys="", keys_uri=uri))
    assert get(stage, ISSUER.token())[0] == 401
    assert get(stage, None)[0] == 200
    stage.wait(300)
    assert not stage.bugs


def test_keys_that_nobody_needs_are_not_fetched() -> None:
    stage = fetching()
    hand_out(stage, ISSUER.keys, 0)
    judge_of(stage).remove("t")
    stage.wait(2 * REFRESH_S)
    assert len(stage.server("g").requests) == 1
    judge_of(stage).put("t", tokens(keys="", keys_uri=URI))
    judge_of(stage).close()
    stage.run()
    stage.wait(2 * REFRESH_S)
    assert not stage.bugs


def test_too_many_keys_are_none() -> None:
    stage = fetching()
    hand_out(stage, " " * 300_000, 0)
    assert get(stage, ISSUER.token())[0] == 401


# Connections.


def connection(stage: Stage, name: str = "") -> tuple[bool, str]:
    peer = stage.peer()
    verdict = judge_of(stage).judge_connection(peer.caller, peer.called, name)
    return verdict.allowed, verdict.code


def test_connections_are_judged_by_what_they_say() -> None:
    assert connection(judged()) == (True, PASSES.code)
    by_client = when(of(Attribute.PRINCIPAL, CLIENT.identity.principal))
    assert connection(judged(policy(DENY, by_client))) == (False, "policy_denied")
    assert connection(judged(policy(ALLOW, GET_BY_CLIENT))) == (False, "policy_not_allowed")
    asks = policy(CUSTOM, by_client, provider=ASKS)
    assert connection(judged(asks)) == (False, "policy_unenforceable")


def test_a_server_name_is_looked_for_when_a_policy_asks() -> None:
    stage = judged(policy(DENY, when(of(Attribute.SERVER_NAME, "secret.example"))))
    called = stage.peer().called
    assert judge_of(stage).wants_name(called)
    assert connection(stage, "secret.example") == (False, "policy_denied")
    assert connection(stage, "open.example") == (True, "policy_none")
    assert not judge_of(judged(policy(DENY, GET_BY_CLIENT))).wants_name(called)


def test_a_policy_that_comes_later_ends_what_speaks_another_protocol() -> None:
    stage = judged()
    stage.server("a").echoes = False
    asked = Asked()
    head = RequestHead(b"GET", b"/ws", b"web", [], upgrade=b"websocket")
    asked.stream = stage.client().open(head, asked, end=True)
    stage.run()
    stage.server("a").requests[0].stream.answer(ResponseHead(101, [], upgrade=b"websocket"))
    stage.run()
    (live,) = stage.context.live
    assert isinstance(live, Exchange)
    judge_of(stage).put("other", policy(DENY, when(of(Attribute.PATH, "/other"))))
    live.judge_again()
    assert not live.is_closed
    judge_of(stage).put("ws", policy(DENY, when(of(Attribute.PATH, "/ws"))))
    live.judge_again()
    stage.run()
    assert live.is_closed
    assert asked.loss is not None
    assert not stage.bugs
