"""AuthorizationPolicies, each by itself."""

from collections.abc import Mapping
from typing import Final

from controlplane.translate.facts import PolicyFacts
from controlplane.translate.labels import DRY_RUN
from controlplane.translate.policy_rules import Draft, read_rule
from controlplane.translate.settings import Settings
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.policy import Action, Authorization, Match, PolicyScope, Rule

_ACTIONS: Final = {"": Action.ALLOW, "ALLOW": Action.ALLOW, "DENY": Action.DENY}
_UNSENDABLE: Final = ("AUDIT", "CUSTOM")


def read_policy(found: KubernetesObject, settings: Settings) -> PolicyFacts:
    """An AuthorizationPolicy without targets.

    Raises:
        FieldInvalidError: a wrong type or action.
    """
    spec = found.at("spec")
    selector = spec.at("selector").strings("matchLabels")
    action, unsendable = _action(found, spec)
    if unsendable:
        return PolicyFacts(found.key, selector, None, unsendable)
    draft = Draft(action, found.key.namespace)
    rules = tuple(
        rule for part in spec.parts("rules") if (rule := read_rule(draft, part)) is not None
    )
    authorization = Authorization(
        name=found.key.name,
        namespace=found.key.namespace,
        scope=scope_of(found, selector, settings),
        action=action,
        rules=rules,
    )
    if spec.has("selector") and not selector:
        mend = "is empty and selects every workload of the namespace: leave it out to say so"
        draft.problems.append(f"spec.selector: {mend}")
    problems = (*draft.problems, *_about_http(draft, rules))
    return PolicyFacts(found.key, selector, authorization, problems, bool(draft.http))


def _action(found: KubernetesObject, spec: Part) -> tuple[Action, tuple[str, ...]]:
    """The action, and why a policy with it cannot be sent."""
    text = spec.text("action")
    if text in _UNSENDABLE:
        mend = f"the node proxy has no {text}: use a waypoint, or ALLOW or DENY; it has no effect"
        return Action.ALLOW, (f"spec.action: {mend}",)
    if text not in _ACTIONS:
        raise spec.invalid("action", f"{text!r} is no action: write ALLOW or DENY")
    if found.annotations.get(DRY_RUN, "").lower() == "true":
        mend = "the policy is only tried, which is not there yet, so it has no effect: remove it"
        return _ACTIONS[text], (f"metadata.annotations[{DRY_RUN}]: {mend}",)
    return _ACTIONS[text], ()


def scope_of(
    found: KubernetesObject, selector: Mapping[str, str], settings: Settings
) -> PolicyScope:
    """Which workloads a policy without targets is for."""
    if selector:
        return PolicyScope.WORKLOAD_SELECTOR
    if found.key.namespace == settings.root_namespace:
        return PolicyScope.GLOBAL
    return PolicyScope.NAMESPACE


def _about_http(draft: Draft, rules: tuple[Rule, ...]) -> list[str]:
    if not draft.http:
        return []
    names = ", ".join(sorted(draft.http))
    if draft.action is Action.ALLOW:
        effect = "rules with them are left out, which allows less than was asked for"
    elif any(_can_match(rule) for rule in rules):
        effect = "its rules count without them, which may deny more than was asked for"
    else:
        effect = "without them nothing is left, so it denies nothing"
    mend = "put a waypoint before the workloads and target it"
    return [f"spec.rules: the node proxy cannot decide by {names}: {effect}: {mend}"]


def _can_match(rule: Rule) -> bool:
    return all(any(match != Match() for match in clause) for clause in rule)
