"""Who a workload is: `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`."""

from dataclasses import dataclass
from typing import Self

from mesh.errors import PeerError

SCHEME = "spiffe://"


class IdentityInvalidError(PeerError):
    """A text that is not a workload identity."""

    code = "identity_invalid"

    def __init__(self, text: str) -> None:
        """Keep the offending text."""
        super().__init__(f"{text!r} is not spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT")
        self.text = text


@dataclass(frozen=True, slots=True)
class Identity:
    """A SPIFFE identity in the only form that Istio knows."""

    trust_domain: str
    namespace: str
    service_account: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an identity; exactly this form, no query, no empty part.

        Raises:
            IdentityInvalidError: anything else.
        """
        match text.removeprefix(SCHEME).split("/"):
            case [domain, "ns", namespace, "sa", account] if text.startswith(SCHEME):
                if domain and namespace and account:
                    return cls(domain, namespace, account)
            case _:
                pass
        raise IdentityInvalidError(text)

    @property
    def principal(self) -> str:
        """The identity as policies write it: without the scheme."""
        return f"{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"

    def __str__(self) -> str:
        return SCHEME + self.principal
