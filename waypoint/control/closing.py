"""What stands for a policy that cannot be read here: it was made by a newer control plane.

Nobody can tell what it would refuse, so it refuses everything; the log has `resource_rejected` with
its name, and each refused request `policy_unenforceable`.
"""

from mesh.model.problems import POLICY_UNREADABLE
from mesh.model.request_policy import RequestAction, RequestPolicy, TokenPolicy
from mesh.wire.configuration_values import configuration_fields
from mesh.wire.feed import Configured


def closed(gateway: str, name: str) -> Configured | None:
    """The stand-in for a resource of this name; None for what only adds to what is allowed.

    Args:
        gateway: `namespace/name` of the Gateway that we are.
        name: as discovery has it: `RequestPolicy/NAMESPACE/NAME`.
    """
    match name.split("/"):
        case ["RequestPolicy", namespace, last]:
            policy = RequestPolicy(
                namespace=namespace,
                name=last,
                action=RequestAction.DENY,
                waypoints=(gateway,),
                problem=POLICY_UNREADABLE,
            )
            return Configured(name, *configuration_fields(policy))
        case ["TokenPolicy", namespace, last]:
            tokens = TokenPolicy(
                namespace=namespace, name=last, waypoints=(gateway,), problem=POLICY_UNREADABLE
            )
            return Configured(name, *configuration_fields(tokens))
        case _:
            return None
