"""Service-account tokens as a Kubernetes API server signs them, for meshes without one.

One algorithm (ES256), one key, one issuer: whatever else a token says of itself is a stranger's.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from controlplane.authority import make_key, read_key
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
from controlplane.state_files import locked, read_private

ALGORITHM: Final = "ES256"
AUDIENCE: Final = "istio-ca"
ISSUER: Final = "https://kubernetes.default.svc"
KEY_FILE: Final = "token-key.pem"
LIFETIME_S: Final = 43_200
CLOCK_SKEW_S: Final = 10
MAX_LENGTH: Final = 8 * 1024
_SUBJECT: Final = "system:serviceaccount:"
_REFUSALS: Final[tuple[tuple[type[jwt.PyJWTError], type[CallerRefusedError]], ...]] = (
    (jwt.InvalidAlgorithmError, TokenAlgorithmError),
    (jwt.InvalidSignatureError, TokenSignatureError),
    (jwt.ExpiredSignatureError, TokenExpiredError),
    (jwt.ImmatureSignatureError, TokenEarlyError),
    (jwt.InvalidAudienceError, TokenAudienceError),
    (jwt.InvalidIssuerError, TokenIssuerError),
)
_REQUIRED: Final = ("iss", "sub", "aud", "exp", "nbf", "iat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a token is for; without a pod's name it is bound to none."""

    namespace: str
    service_account: str
    account_uid: str = ""
    pod: str = ""
    pod_uid: str = ""
    node: str = ""


def has_token_key(state: Path) -> bool:
    """Whether a control plane (or an earlier token) has made its key in a state folder."""
    return (state / KEY_FILE).exists()


def load_token_key(state: Path) -> ec.EllipticCurvePrivateKey:
    """The key of a state folder that signs tokens; made there when there is none.

    Raises:
        StateUnusableError: a full disk, no right, or a file that holds something else.
    """
    path = state / KEY_FILE
    with locked(state):
        pem = read_private(path)
        return make_key(path) if pem is None else read_key(path, pem)


def mint(
    key: ec.EllipticCurvePrivateKey,
    subject: Subject,
    now: float,
    *,
    lifetime_s: int = LIFETIME_S,
    audience: str = AUDIENCE,
) -> str:
    """A signed token.

    Args:
        key: of `load_token_key`.
        subject: whom it is for.
        now: seconds since the epoch.
        lifetime_s: how long it is good.
        audience: whom it may be shown to.
    """
    begins = int(now)
    claims: dict[str, object] = {
        "aud": [audience],
        "exp": begins + lifetime_s,
        "iat": begins,
        "iss": ISSUER,
        "nbf": begins,
        "sub": f"{_SUBJECT}{subject.namespace}:{subject.service_account}",
        "kubernetes.io": _bound_to(subject),
    }
    return jwt.encode(claims, key, ALGORITHM, headers={"kid": _key_id(key.public_key())})


def _bound_to(subject: Subject) -> dict[str, object]:
    bound: dict[str, object] = {
        "namespace": subject.namespace,
        "serviceaccount": {"name": subject.service_account, "uid": subject.account_uid},
    }
    if subject.pod:
        bound["pod"] = {"name": subject.pod, "uid": subject.pod_uid}
    if subject.node:
        bound["node"] = {"name": subject.node}
    return bound


def _key_id(public: ec.EllipticCurvePublicKey) -> str:
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def check(public: ec.EllipticCurvePublicKey, token: str) -> Caller:
    """Whose token this is, by the clock of this machine.

    Raises:
        CallerRefusedError: one of its kinds; the caller is not to be told which.
    """
    if len(token) > MAX_LENGTH:
        raise TokenMalformedError
    try:
        claims: dict[str, object] = jwt.decode(
            token,
            public,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=CLOCK_SKEW_S,
            options={"require": list(_REQUIRED)},
        )
    except jwt.PyJWTError as error:
        raise _refusal(error) from None
    return _caller(claims)


def _refusal(error: jwt.PyJWTError) -> CallerRefusedError:
    if isinstance(error, jwt.MissingRequiredClaimError) and error.claim == "aud":
        return TokenAudienceError()
    kinds = (refusal for kind, refusal in _REFUSALS if isinstance(error, kind))
    return next(kinds, TokenMalformedError)()


def _caller(claims: Mapping[str, object]) -> Caller:
    """The claims must agree with one another: the subject's text with what it is bound to."""
    match claims:
        case {
            "sub": str(subject),
            "kubernetes.io": {
                "namespace": str(namespace),
                "serviceaccount": {"name": str(account)},
                **bound,
            },
        } if namespace and account and subject == f"{_SUBJECT}{namespace}:{account}":
            pass
        case _:
            raise TokenSubjectError
    match bound:
        case {"pod": {"name": str(pod), "uid": str(uid)}} if pod:
            return Caller(namespace, account, pod, uid)
        case {"pod": _}:
            raise TokenSubjectError
        case _:
            return Caller(namespace, account)
