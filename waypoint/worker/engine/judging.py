"""Requests and connections judged by the policies that the control plane has sent.

1. A policy that is named in the configuration and cannot be enforced refuses; none is passed over.
2. Tokens first: what they claim is what policies ask for.
3. Of a connection that is not HTTP nobody else can be asked: then a CUSTOM policy refuses.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mesh.model.request_policy import (
    Attribute,
    RequestPolicy,
    RequestRule,
    TokenPolicy,
    TokenRule,
)
from mesh.observe.request_metrics import AUDITED, TRIED, RequestMetrics
from mesh.policy.at_waypoint import facts_of_request, is_for, judge_plain, policed_service
from mesh.policy.authorize import NO_POLICY
from mesh.policy.requests import UNENFORCEABLE, Claim, RequestVerdict, judge_request
from mesh.routing.waypoint import Called
from mesh.wire.http.messages import RequestHead
from waypoint.worker.engine.context import Caller, Judge
from waypoint.worker.engine.keys import KeyRing
from waypoint.worker.tokens import RequestTokenSignatureError, check_tokens, said, say

Policy = RequestPolicy | TokenPolicy
PASSES: Final = RequestVerdict(allowed=True, code=NO_POLICY)


class PolicyJudge(Judge):
    """One per worker."""

    __slots__ = ("_epoch", "_found", "_keys", "_own", "_policies")

    def __init__(self, own: str, keys: KeyRing, epoch: Callable[[], float]) -> None:
        """Know no policies.

        Args:
            own: `namespace/name` of our Gateway.
            keys: of tokens.
            epoch: seconds since the epoch.
        """
        self._own = own
        self._keys = keys
        self._epoch = epoch
        self._policies: dict[str, Policy] = {}
        self._found: dict[str, tuple[tuple[TokenPolicy, ...], tuple[RequestPolicy, ...]]] = {}

    # Knowing.

    def put(self, name: str, policy: Policy) -> None:
        """A policy has come, or changed."""
        self._policies[name] = policy
        self._changed()

    def remove(self, name: str) -> None:
        """One has gone; any other name means nothing."""
        if self._policies.pop(name, None) is not None:
            self._changed()

    def _changed(self) -> None:
        self._found.clear()
        self._keys.obey(
            (policy.namespace, rule)
            for policy in self._policies.values()
            if isinstance(policy, TokenPolicy)
            for rule in policy.rules
        )

    def _concerning(
        self, called: Called
    ) -> tuple[tuple[TokenPolicy, ...], tuple[RequestPolicy, ...]]:
        service = policed_service(called)
        found = self._found.get(service)
        if found is None:
            several = [each for each in self._policies.values() if is_for(each, self._own, service)]
            found = self._found[service] = (
                tuple(each for each in several if isinstance(each, TokenPolicy)),
                tuple(each for each in several if isinstance(each, RequestPolicy)),
            )
        return found

    def concerns(self, called: Called) -> bool:
        """Whether any policy is for what was called."""
        return any(self._concerning(called))

    def wants_name(self, called: Called) -> bool:
        """Whether a policy asks for the server name that a TLS client says."""
        _, policies = self._concerning(called)
        return any(_asks_name(rule) for policy in policies for rule in policy.rules)

    # Judging.

    def judge(
        self,
        caller: Caller,
        called: Called,
        head: RequestHead,
        known: RequestVerdict | None = None,
    ) -> RequestVerdict:
        """Decide about a request; its head loses tokens, and gets what rules say of them.

        Args:
            caller: who calls.
            called: what.
            head: the request's.
            known: of the same request, before a route has rewritten it: its token holds.

        Raises:
            RequestTokenError: a token is not good.
        """
        tokens, policies = self._concerning(called)
        if not tokens and not policies:
            return PASSES
        for each in tokens:
            if each.problem:
                return RequestVerdict(allowed=False, code=UNENFORCEABLE, policy=each.key)
        claims = None if known is None else known.claims
        rules = tuple(rule for each in tokens for rule in each.rules)
        if rules and known is None:
            claims = self._claims(rules, head)
        elif known is not None:
            say(rules, known.said, head)
        told = said(rules, head)
        if not policies:
            return replace(PASSES, claims=claims, said=told) if told else PASSES
        facts = facts_of_request(caller.identity, caller.address.ip, called, head, claims)
        verdict = judge_request(policies, facts)
        return replace(verdict, said=told) if told else verdict

    def _claims(self, rules: tuple[TokenRule, ...], head: RequestHead) -> dict[str, Claim] | None:
        try:
            claims = check_tokens(rules, head, self._keys.of, self._epoch())
        except RequestTokenSignatureError:
            self._keys.doubt(rules)  # perhaps it is signed by a key that is newer than ours
            raise
        return None if claims is None else dict(claims)

    def close(self) -> None:
        """Fetch no keys any more."""
        self._keys.close()

    def judge_connection(self, caller: Caller, called: Called, server_name: str) -> RequestVerdict:
        """Decide about a connection that is not HTTP."""
        _, policies = self._concerning(called)
        if not policies:
            return PASSES
        return judge_plain(policies, caller.identity, caller.address.ip, called, server_name)


def _asks_name(rule: RequestRule) -> bool:
    every = (*rule.sources, *rule.operations, rule.conditions)
    return any(each.attribute is Attribute.SERVER_NAME for several in every for each in several)


def tell_verdict(metrics: RequestMetrics, verdict: RequestVerdict) -> None:
    """Count what policies have decided, and what those would have that are only tried."""
    if not verdict.allowed:
        metrics.note_policy(verdict.policy, verdict.code)
    for policy in verdict.audited:
        metrics.note_policy(policy, AUDITED)
    for policy in verdict.dry_run:
        metrics.note_policy(policy, TRIED)
