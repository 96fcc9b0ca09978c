"""Why a connection failed, in one word of Istio's: a metric label."""

from enum import StrEnum


class ResponseFlag(StrEnum):
    """Why a connection failed, as a metric label."""

    NONE = "-"
    DENIED = "DENY"
    CONNECT = "CONNECT"
    TLS_FAILURE = "TLS_FAILURE"
    H2_HANDSHAKE_FAILURE = "H2_HANDSHAKE_FAILURE"
    NETWORK_POLICY = "NETWORK_POLICY"
    IDENTITY_ERROR = "IDENTITY_ERROR"
    CERT_REVOKED = "CERT_REVOKED"
