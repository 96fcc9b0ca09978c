"""What every namespace has without being asked for, and what goes with a namespace."""

from mesh.model.kubernetes import KubernetesObject, ObjectKey
from sluice.lab.objects import Changes, Objects, is_leaving, make_object

_WITH_THINGS_OF_ITS_OWN = "Pod"


def plan_accounts(objects: Objects) -> Changes:
    """A service account `default` in each namespace."""
    puts: list[KubernetesObject] = []
    for namespace in objects.of("Namespace"):
        name = namespace.key.name
        if is_leaving(namespace) or objects.find("ServiceAccount", name, "default"):
            continue
        metadata = {"name": "default", "namespace": name}
        puts.append(make_object("ServiceAccount", "v1", metadata))
    return Changes(puts)


def plan_removals(objects: Objects) -> Changes:
    """A namespace that is to go takes all that it holds with it, and goes last.

    Pods have processes: whoever runs them removes their objects, all others go at once.
    """
    removals: list[ObjectKey] = []
    for namespace in objects.of("Namespace"):
        if is_leaving(namespace):
            held = [each for each in objects.inside(namespace.key.name) if not is_gone_soon(each)]
            left = objects.of("Pod", namespace.key.name)
            removals += [each.key for each in held] or ([] if left else [namespace.key])
    return Changes((), removals)


def is_gone_soon(found: KubernetesObject) -> bool:
    """Whether an object waits for the end of its processes."""
    return found.key.kind == _WITH_THINGS_OF_ITS_OWN and is_leaving(found)
