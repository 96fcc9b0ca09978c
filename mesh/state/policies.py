"""Policies by name, and by whom they concern."""

from collections.abc import Iterator

from mesh.model.policy import Authorization, PolicyScope
from mesh.model.workload import Workload

EVERYWHERE = ""
"""The key of policies for the whole mesh, among those of namespaces."""


class Policies:
    """All policies."""

    def __init__(self) -> None:
        """None yet."""
        self._by_key: dict[str, Authorization] = {}
        self._by_namespace: dict[str, dict[str, Authorization]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def values(self) -> Iterator[Authorization]:
        """All of them."""
        return iter(self._by_key.values())

    def get(self, key: str) -> Authorization | None:
        """By `namespace/name`."""
        return self._by_key.get(key)

    def put(self, policy: Authorization) -> bool:
        """Add or replace; whether that changed anything."""
        if self._by_key.get(policy.key) == policy:
            return False
        self.remove(policy.key)
        self._by_key[policy.key] = policy
        if (where := _where(policy)) is not None:
            self._by_namespace.setdefault(where, {})[policy.key] = policy
        return True

    def remove(self, key: str) -> bool:
        """Forget it; whether it was known."""
        policy = self._by_key.pop(key, None)
        if policy is None:
            return False
        if (where := _where(policy)) is not None:
            del self._by_namespace[where][key]
            if not self._by_namespace[where]:
                del self._by_namespace[where]
        return True

    def of(self, workload: Workload) -> tuple[list[Authorization], list[str]]:
        """Those that concern a workload, each once; and the names it has that are not known."""
        found = {
            **self._by_namespace.get(EVERYWHERE, {}),
            **self._by_namespace.get(workload.namespace, {}),
        }
        missing: list[str] = []
        for key in workload.authorization_policies:
            if (policy := self._by_key.get(key)) is None:
                missing.append(key)
            else:
                found[key] = policy
        return list(found.values()), missing


def _where(policy: Authorization) -> str | None:
    match policy.scope:
        case PolicyScope.GLOBAL:
            return EVERYWHERE
        case PolicyScope.NAMESPACE:
            return policy.namespace
        case PolicyScope.WORKLOAD_SELECTOR:
            return None
