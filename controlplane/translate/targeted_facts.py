"""What a policy with targets says by itself: AuthorizationPolicy, RequestAuthentication."""

from dataclasses import dataclass

from mesh.model.kubernetes import ObjectKey
from mesh.model.request_policy import RequestPolicy, TokenPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetedFacts:
    """A policy that waypoints enforce; its targets and its provider are not looked up yet."""

    key: ObjectKey
    policy: RequestPolicy | TokenPolicy
    targets: tuple[ObjectKey, ...]
    """Without those that it may not name."""
    asks: ObjectKey | None = None
    """The Service of a CUSTOM policy's provider; it goes by the provider's port."""
    problems: tuple[str, ...] = ()

    @property
    def references(self) -> frozenset[ObjectKey]:
        """Everything that it names."""
        return frozenset((*self.targets, *((self.asks,) if self.asks else ())))
