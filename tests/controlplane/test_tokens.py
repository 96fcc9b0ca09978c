"""Tokens: minted like Kubernetes' own, and every way in which a stranger's differs."""

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from controlplane import tokens
from controlplane.callers import (
    Caller,
    CallerRefusedError,
    TokenAlgorithmError,
    TokenAudienceError,
    TokenEarlyError,
    TokenExpiredError,
    TokenIssuerError,
    TokenMalformedError,
    TokenSignatureError,
    TokenSubjectError,
)
from controlplane.tokens import Subject, check, mint

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key()
SUBJECT = Subject(
    namespace="shop", service_account="web", account_uid="s-1", pod="web-1", pod_uid="p-1", node="a"
)


def claims() -> dict[str, object]:
    found: dict[str, object] = jwt.decode(
        mint(KEY, SUBJECT, time.time()), options={"verify_signature": False}
    )
    return found


def signed(
    changed: dict[str, object], *, key: object = KEY, algorithm: str = "ES256", without: str = ""
) -> str:
    body = {name: value for name, value in (claims() | changed).items() if name != without}
    return jwt.encode(body, key, algorithm)  # type: ignore[arg-type]  # a key for the algorithm


def test_a_token_has_the_claims_of_kubernetes() -> None:
    found = claims()
    assert (found["iss"], found["aud"]) == ("https://kubernetes.default.svc", ["istio-ca"])
    assert found["sub"] == "system:serviceaccount:shop:web"
    assert found["kubernetes.io"] == {
        "namespace": "shop",
        "serviceaccount": {"name": "web", "uid": "s-1"},
        "pod": {"name": "web-1", "uid": "p-1"},
        "node": {"name": "a"},
    }


def test_a_token_says_whose_it_is() -> None:
    assert check(PUBLIC, mint(KEY, SUBJECT, time.time())) == Caller("shop", "web", "web-1", "p-1")
    unbound = mint(KEY, Subject(namespace="shop", service_account="web"), time.time())
    assert check(PUBLIC, unbound) == Caller("shop", "web")


@pytest.mark.parametrize(
    ("token", "refusal"),
    [
        (mint(KEY, SUBJECT, time.time() - 100, lifetime_s=50), TokenExpiredError),
        (mint(KEY, SUBJECT, time.time() + 3600), TokenEarlyError),
        (mint(KEY, SUBJECT, time.time(), audience="api"), TokenAudienceError),
        (signed({"aud": ["api", "other"]}), TokenAudienceError),
        (signed({}, without="aud"), TokenAudienceError),
        (signed({"iss": "https://elsewhere"}), TokenIssuerError),
        (signed({}, without="exp"), TokenMalformedError),
        (signed({}, without="nbf"), TokenMalformedError),
        (signed({"exp": "soon"}), TokenMalformedError),
        (
            mint(ec.generate_private_key(ec.SECP256R1()), SUBJECT, time.time()),
            TokenSignatureError,
        ),
        (mint(KEY, SUBJECT, time.time())[:-8] + "AAAAAAAA", TokenSignatureError),
        (signed({}, key="k" * 64, algorithm="HS256"), TokenAlgorithmError),
        (signed({}, key=None, algorithm="none"), TokenAlgorithmError),
        (
            signed({}, key=ec.generate_private_key(ec.SECP384R1()), algorithm="ES384"),
            TokenAlgorithmError,
        ),
        (signed({"sub": "admin"}), TokenSubjectError),
        (signed({"sub": "system:serviceaccount:shop:other"}), TokenSubjectError),
        (signed({"sub": "system:serviceaccount::web"}), TokenSubjectError),
        (signed({"kubernetes.io": {}}), TokenSubjectError),
        (
            signed(
                {
                    "kubernetes.io": {
                        "namespace": "shop",
                        "serviceaccount": {"name": "web"},
                        "pod": {"name": ""},
                    }
                }
            ),
            TokenSubjectError,
        ),
        ("", TokenMalformedError),
        ("a.b.c", TokenMalformedError),
        ("x" * (tokens.MAX_LENGTH + 1), TokenMalformedError),
    ],
)
def test_a_token_that_is_not_ours_is_refused_by_its_own_code(
    token: str, refusal: type[CallerRefusedError]
) -> None:
    with pytest.raises(CallerRefusedError) as caught:
        check(PUBLIC, token)
    assert type(caught.value) is refusal


def test_our_public_key_is_no_secret_to_sign_with() -> None:
    """A token of HS256, signed with what everybody knows."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode())
    with pytest.raises(TokenAlgorithmError):
        check(PUBLIC, b".".join([head.rstrip(b"="), body.rstrip(b"="), b"c2ln"]).decode())


def test_each_refusal_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in CallerRefusedError.__subclasses__()]
    assert len(codes) == len(set(codes))


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda b: b.decode("latin-1")))
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(CallerRefusedError):
        check(PUBLIC, token)
