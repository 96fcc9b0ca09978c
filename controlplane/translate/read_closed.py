"""Policies that never made sense: what they may have been meant to refuse is refused.

Any other object that cannot be read has no effect, or what it said last stays in force. A policy
that was invalid from the beginning has said nothing yet, and to go on as if it was not there would
let through what somebody meant to stop.
"""

from controlplane.translate.facts import Facts, PolicyFacts
from controlplane.translate.read_policies import scope_of
from controlplane.translate.read_request_policies import ACTIONS
from controlplane.translate.read_targets import has_targets, targets_of
from controlplane.translate.settings import Settings
from controlplane.translate.targeted_facts import TargetedFacts
from mesh.model.fields import FieldInvalidError
from mesh.model.kubernetes import KubernetesObject
from mesh.model.policy import Action, Authorization
from mesh.model.problems import POLICY_UNREADABLE
from mesh.model.request_policy import RequestAction, RequestPolicy, TokenPolicy

CLOSED = "whatever it might refuse is refused"


def read_closed(found: KubernetesObject, settings: Settings, problem: str) -> Facts | None:
    """What stands in for a policy that cannot be read; None: nothing can.

    Args:
        found: the object.
        settings: the mesh's.
        problem: what is wrong with it.
    """
    if not found.api_version.startswith("security.istio.io/"):
        return None
    try:
        match found.key.kind:
            case "AuthorizationPolicy" if has_targets(found.at("spec")):
                return _targeted(found, settings, _request_policy(found), problem)
            case "RequestAuthentication" if has_targets(found.at("spec")):
                policy = TokenPolicy(
                    namespace=found.key.namespace, name=found.key.name, problem=POLICY_UNREADABLE
                )
                return _targeted(found, settings, policy, problem)
            case "AuthorizationPolicy":
                return _for_node_proxies(found, settings, problem)
            case _:
                return None
    except FieldInvalidError:  # it does not even say whom it is for
        return None


def _targeted(
    found: KubernetesObject, settings: Settings, policy: RequestPolicy | TokenPolicy, problem: str
) -> TargetedFacts:
    targets, left_out, _ = targets_of(found, settings)
    return TargetedFacts(
        key=found.key, policy=policy, targets=targets, problems=(problem, *left_out)
    )


def _action(found: KubernetesObject) -> RequestAction:
    """Its action; who knows what one that cannot be read was meant to refuse."""
    try:
        return ACTIONS.get(found.at("spec").text("action"), RequestAction.DENY)
    except FieldInvalidError:
        return RequestAction.DENY


def _request_policy(found: KubernetesObject) -> RequestPolicy:
    return RequestPolicy(
        namespace=found.key.namespace,
        name=found.key.name,
        action=_action(found),
        problem=POLICY_UNREADABLE,
    )


def _for_node_proxies(
    found: KubernetesObject, settings: Settings, problem: str
) -> PolicyFacts | None:
    """A denial of everything, or an allowance of nothing."""
    action = _action(found)
    if action not in (RequestAction.ALLOW, RequestAction.DENY):
        return None
    selector = found.at("spec", "selector").strings("matchLabels")
    is_allow = action is RequestAction.ALLOW
    authorization = Authorization(
        name=found.key.name,
        namespace=found.key.namespace,
        scope=scope_of(found, selector, settings),
        action=Action.ALLOW if is_allow else Action.DENY,
        rules=() if is_allow else ((),),
    )
    return PolicyFacts(found.key, selector, authorization, (problem,), has_unenforced=True)
