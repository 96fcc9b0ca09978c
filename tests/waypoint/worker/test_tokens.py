"""Tokens in requests: what is let through, what is refused and why, and what is written."""

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mesh.model.request_policy import TokenPlace, TokenRule
from mesh.wire.http.messages import Fields, RequestHead
from waypoint.worker.tokens import KeySet, KeysInvalidError, RequestTokenError, check_tokens

NOW = 1_800_000_000.0
ISSUER = "https://issuer.example"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PRIVATE: dict[str, PrivateKey] = {"RS256": RSA, "PS256": RSA, "ES256": EC, "EdDSA": ED}


def jwk(name: str, algorithm: str) -> dict[str, str]:
    public = PRIVATE[algorithm].public_key()
    found: dict[str, str] = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    return {**found, "kid": name}


SET = KeySet.parse(json.dumps({"keys": [jwk("r", "RS256"), jwk("e", "ES256"), jwk("d", "EdDSA")]}))
RULE = TokenRule(issuer=ISSUER)


def token(algorithm: str = "ES256", key_id: str | None = "e", **claims: object) -> str:
    body = {"iss": ISSUER, "sub": "ann", "exp": int(NOW) + 60, **claims}
    headers = {} if key_id is None else {"kid": key_id}
    return jwt.encode(body, PRIVATE[algorithm], algorithm=algorithm, headers=headers)


def request(*fields: tuple[bytes, bytes], target: bytes = b"/") -> RequestHead:
    given: Fields = list(fields)
    return RequestHead(b"GET", target, b"shop", given)


def bearer(text: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + text.encode()


@pytest.mark.parametrize(
    ("algorithm", "key_id"),
    [("RS256", "r"), ("PS256", "r"), ("ES256", "e"), ("EdDSA", "d"), ("ES256", None)],
)
def test_a_token_of_any_of_the_keys_passes(algorithm: str, key_id: str | None) -> None:
    head = request(bearer(token(algorithm, key_id)))
    claims = check_tokens([RULE], head, lambda _: SET, NOW)
    assert claims is not None
    assert claims["sub"] == "ann"


def test_no_token_passes_without_claims() -> None:
    basic = (b"authorization", b"Basic YTpi")
    assert check_tokens([RULE], request(), lambda _: SET, NOW) is None
    assert check_tokens([RULE], request(basic), lambda _: SET, NOW) is None


def shared_secret() -> str:
    """The trick of using the public key as a shared secret."""
    secret = EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def part(value: dict[str, object]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "kid": "e"}) + b"." + part({"iss": ISSUER, "exp": int(NOW) + 60})
    mac = hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def unsigned() -> str:
    return jwt.encode({"iss": ISSUER, "sub": "ann"}, "", algorithm="none")


def changed() -> str:
    head, _, signature = token().split(".")
    return ".".join((head, token(sub="eve").split(".")[1], signature))


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("no.jwt", "request_token_malformed", 401),
        ("", "request_token_malformed", 401),
        ("a" * 20_000, "request_token_malformed", 401),
        (changed(), "request_token_signature", 401),
        (token("ES256", "r"), "request_token_signature", 401),
        (shared_secret(), "request_token_signature", 401),
        (unsigned(), "request_token_signature", 401),
        (token(iss="https://other.example"), "request_token_issuer", 401),
        (token(exp=int(NOW) - 61), "request_token_expired", 401),
        (token(exp="soon"), "request_token_malformed", 401),
        (token(nbf=int(NOW) + 61), "request_token_expired", 401),
        (token(aud="others"), "request_token_audience", 403),
        (token(), "request_token_audience", 403),
    ],
)
def test_a_bad_token_is_refused(text: str, code: str, status: int) -> None:
    rule = TokenRule(issuer=ISSUER, audiences=("shop",))
    with pytest.raises(RequestTokenError) as caught:
        check_tokens([rule], request(bearer(text)), lambda _: SET, NOW)
    assert (caught.value.code, caught.value.status) == (code, status)


def test_clocks_may_differ_a_little() -> None:
    head = request(bearer(token(exp=int(NOW) - 59, nbf=int(NOW) + 59)))
    assert check_tokens([RULE], head, lambda _: SET, NOW) is not None


def test_keys_that_are_not_there_close() -> None:
    with pytest.raises(RequestTokenError) as caught:
        check_tokens([RULE], request(bearer(token())), lambda _: None, NOW)
    assert caught.value.code == "request_token_keys"


def test_each_place_is_looked_at_and_every_token_must_be_good() -> None:
    places = (
        TokenPlace(header="x-token"),
        TokenPlace(header="x-other", prefix="Token "),
        TokenPlace(parameter="t"),
        TokenPlace(cookie="session"),
    )
    rule = TokenRule(issuer=ISSUER, places=places)
    good = token().encode()
    for head in (
        request((b"x-token", good)),
        request((b"x-other", b"token " + good)),
        request(target=b"/a?b=c&t=" + good),
        request((b"cookie", b"a=b; session=" + good)),
    ):
        assert check_tokens([rule], head, lambda _: SET, NOW) is not None
        assert good not in head.target
        assert all(good not in value for _, value in head.fields)
    with pytest.raises(RequestTokenError):
        check_tokens(
            [rule], request((b"x-token", good), (b"cookie", b"session=bad")), lambda _: SET, NOW
        )


def test_what_a_rule_writes_comes_from_the_token_alone() -> None:
    rule = TokenRule(
        issuer=ISSUER,
        forwards=True,
        payload_header="x-claims",
        claim_headers=(("x-user", "sub"), ("x-team", "org.team")),
    )
    head = request(
        bearer(token(org={"team": "blue"})), (b"x-user", b"root"), (b"x-claims", b"forged")
    )
    claims = check_tokens([rule], head, lambda _: SET, NOW)
    found = dict(head.fields)
    assert found[b"x-user"] == b"ann"
    assert found[b"x-team"] == b"blue"
    padded = found[b"x-claims"] + b"=" * (-len(found[b"x-claims"]) % 4)
    assert json.loads(base64.urlsafe_b64decode(padded)) == claims
    assert found[b"authorization"].startswith(b"Bearer ")

    without = request((b"x-user", b"root"), (b"x_team", b"red"), (b"x-claims", b"forged"))
    assert check_tokens([rule], without, lambda _: SET, NOW) is None
    assert without.fields == []


@pytest.mark.parametrize("issuers", [(ISSUER, "https://b.example"), ("https://b.example", ISSUER)])
def test_one_of_several_issuers_is_enough(issuers: tuple[str, ...]) -> None:
    rules = [TokenRule(issuer=issuer) for issuer in issuers]
    assert check_tokens(rules, request(bearer(token())), lambda _: SET, NOW) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": 3}',
        '{"keys": []}',
        '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
        '{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}',
        '{"keys": [{"kty": "EC", "use": "enc", "crv": "P-256", "x": "", "y": ""}]}',
        '{"keys": [7, null]}',
    ],
)
def test_a_set_without_a_key_of_use_is_refused(text: str) -> None:
    with pytest.raises(KeysInvalidError):
        KeySet.parse(text)


@pytest.mark.parametrize(
    "place", [TokenPlace(cookie="session"), TokenPlace(parameter="token")], ids=["cookie", "query"]
)
def test_two_tokens_at_one_place_are_none_that_is_good(place: TokenPlace) -> None:
    good = token()
    rule = TokenRule(issuer=ISSUER, places=(place,))
    crumbs = f"session={good}; session=another".encode()
    target = f"/?token={good}&token=another".encode()
    with pytest.raises(RequestTokenError) as caught:
        check_tokens([rule], request((b"cookie", crumbs), target=target), lambda _: SET, NOW)
    assert caught.value.code == "request_token_malformed"


def test_a_head_full_of_escapes_costs_no_time() -> None:
    rule = TokenRule(issuer=ISSUER, places=(TokenPlace(cookie="session"),))
    began = time.process_time()
    head = request((b"cookie", b'a="' + b"\\1" * 28_000 + b'"'))
    assert check_tokens([rule], head, lambda _: SET, NOW) is None
    assert time.process_time() - began < 0.1


def test_a_set_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(KeysInvalidError):
        KeySet.parse('{"keys":' + "[" * 100_000)
