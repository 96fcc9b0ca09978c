"""AuthorizationPolicies with targets, each by itself: waypoints enforce them.

Whatever such a policy says that is not understood in full makes all of it unenforceable: it then
refuses what it might have refused, and its status says why.
"""

from dataclasses import replace
from typing import Final

from controlplane.translate.labels import DRY_RUN
from controlplane.translate.read_targets import targets_of
from controlplane.translate.request_rules import RequestDraft, read_request_rule
from controlplane.translate.settings import Provider, Settings
from controlplane.translate.targeted_facts import TargetedFacts
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.problems import POLICY_PROVIDER, POLICY_UNREADABLE
from mesh.model.request_policy import RequestAction, RequestPolicy

ACTIONS: Final = {"": RequestAction.ALLOW, **{each.name: each for each in RequestAction}}
_FIELDS: Final = frozenset(
    {"action", "provider", "rules", "selector", "targetRef", "targetRefs"}
)  # fmt: skip


def read_request_policy(found: KubernetesObject, settings: Settings) -> TargetedFacts:
    """An AuthorizationPolicy that names targets.

    Raises:
        FieldInvalidError: a wrong type or action.
    """
    spec = found.at("spec")
    text = spec.text("action")
    if text not in ACTIONS:
        raise spec.invalid("action", f"{text!r:.40} is no action: write ALLOW, DENY or CUSTOM")
    targets, left_out, unknown = targets_of(found, settings)
    draft = RequestDraft(found.key.namespace, unknown)
    _know(draft, spec)
    policy = RequestPolicy(
        namespace=found.key.namespace,
        name=found.key.name,
        action=ACTIONS[text],
        rules=tuple(read_request_rule(draft, part) for part in spec.parts("rules")),
        dry_run=found.annotations.get(DRY_RUN, "").lower() == "true",
    )
    policy, asks = _with_provider(draft, policy, spec, settings)
    if draft.problems and not policy.problem:
        policy = replace(policy, problem=POLICY_UNREADABLE)
    return TargetedFacts(
        key=found.key,
        policy=policy,
        targets=targets,
        asks=asks,
        problems=(*draft.problems, *left_out),
    )


def _know(draft: RequestDraft, spec: Part) -> None:
    draft.problems += [
        f"{spec.field(name)}: is not known: take it away"
        for name in sorted(spec.body.keys() - _FIELDS)
    ]
    if spec.has("selector"):
        mend = "cannot be beside targetRefs: take one of them away"
        draft.problems.append(f"{spec.field('selector')}: {mend}")


def _with_provider(
    draft: RequestDraft, policy: RequestPolicy, spec: Part, settings: Settings
) -> tuple[RequestPolicy, ObjectKey | None]:
    """The policy with whom it asks, and the Service of that."""
    name = spec.at("provider").text("name")
    if policy.action is not RequestAction.CUSTOM:
        if spec.has("provider"):
            mend = "is for the action CUSTOM only: take it away"
            draft.problems.append(f"{spec.field('provider')}: {mend}")
        return policy, None
    provider = next((each for each in settings.providers if each.name == name), None)
    if provider is None:
        mend = "name one of the mesh configuration's extensionProviders"
        draft.problems.append(f"spec.provider.name: there is no provider {name!r:.80}: {mend}")
        return replace(policy, problem=POLICY_PROVIDER), None
    service = _service_of(provider, found_namespace=policy.namespace, settings=settings)
    if service is None:
        mend = "is no Service of this cluster: give its whole name"
        what = f"{provider.host!r:.80} of the provider {name!r:.80}"
        draft.problems.append(f"spec.provider.name: {what} {mend}")
        return replace(policy, problem=POLICY_PROVIDER), None
    return replace(policy, provider=provider.auth), service


def _service_of(
    provider: Provider, *, found_namespace: str, settings: Settings
) -> ObjectKey | None:
    """The Service that a provider's host means: `NAME.NAMESPACE[.svc[.DOMAIN]]`."""
    suffix = f".svc.{settings.cluster_domain}"
    host = provider.host.rpartition("/")[2]
    match host.removesuffix(suffix).removesuffix(".svc").split("."):
        case [name, namespace] if name and namespace:
            return ObjectKey("Service", namespace, name)
        case [name] if name:
            return ObjectKey("Service", found_namespace, name)
        case _:
            return None
