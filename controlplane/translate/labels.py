"""Labels and annotations that Kubernetes and Istio have fixed, and selecting by labels."""

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

from mesh.model.fields import Part
from mesh.model.names import GATEWAY_CLASS_LABEL, GATEWAY_NAME_LABEL, MANAGED_LABEL

NETWORK: Final = "topology.istio.io/network"
REGION: Final = "topology.kubernetes.io/region"
ZONE: Final = "topology.kubernetes.io/zone"
SUBZONE: Final = "topology.istio.io/subzone"
TUNNEL: Final = "networking.istio.io/tunnel"
TRAFFIC_DISTRIBUTION: Final = "networking.istio.io/traffic-distribution"
SERVICE_NAME: Final = "kubernetes.io/service-name"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
GATEWAY_NAME: Final = GATEWAY_NAME_LABEL
GATEWAY_CLASS: Final = GATEWAY_CLASS_LABEL
MANAGED_BY: Final = MANAGED_LABEL
USE_WAYPOINT: Final = "istio.io/use-waypoint"
USE_WAYPOINT_NAMESPACE: Final = "istio.io/use-waypoint-namespace"
USE_CANARY: Final = "istio.io/use-waypoint-canary"
USE_CANARY_NAMESPACE: Final = "istio.io/use-waypoint-canary-namespace"
CANARY_WEIGHT: Final = "istio.io/use-waypoint-canary-weight"
FOR_ACCOUNT: Final = "istio.io/for-service-account"
INGRESS_USE_WAYPOINT: Final = "istio.io/ingress-use-waypoint"
WAYPOINT_FOR: Final = "istio.io/waypoint-for"
INBOUND_BINDING: Final = "ambient.istio.io/waypoint-inbound-binding"
GATEWAY_ACCOUNT: Final = "gateway.istio.io/service-account"
NAME_OVERRIDE: Final = "gateway.istio.io/name-override"
SERVICE_TYPE: Final = "networking.istio.io/service-type"
TELLS_CERTIFICATE: Final = "ambient.istio.io/xfcc-include-client-identity"
DRY_RUN: Final = "istio.io/dry-run"

ItemT = TypeVar("ItemT")


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether each pair of the selector is among the labels; an empty selector selects all."""
    return selector.items() <= labels.items()


class SelectorIndex(Generic[ItemT]):
    """Things with a selector, found by the labels that they select; empty selectors select none."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._by_pair: dict[tuple[str, str], dict[str, tuple[Mapping[str, str], ItemT]]] = {}

    def put(self, name: str, selector: Mapping[str, str], item: ItemT) -> None:
        """Hold an item under a name that is new."""
        if selector:
            # One pair is enough to find it; the rest is compared then.
            self._by_pair.setdefault(min(selector.items()), {})[name] = (selector, item)

    def remove(self, name: str, selector: Mapping[str, str]) -> None:
        """Forget the item that was put with this name and selector."""
        if selector:
            pair = min(selector.items())
            del self._by_pair[pair][name]
            if not self._by_pair[pair]:
                del self._by_pair[pair]

    def selecting(self, labels: Mapping[str, str]) -> Iterator[ItemT]:
        """Every item that selects these labels, in no order."""
        for pair in labels.items():
            for selector, item in self._by_pair.get(pair, {}).values():
                if selects(selector, labels):
                    yield item


def matches(selector: Part, labels: Mapping[str, str]) -> bool:
    """Whether a Kubernetes label selector (`matchLabels`, `matchExpressions`) selects labels.

    Raises:
        FieldInvalidError: it is no such selector.
    """
    return selects(selector.strings("matchLabels"), labels) and all(
        _expression(part, labels) for part in selector.parts("matchExpressions")
    )


def _expression(part: Part, labels: Mapping[str, str]) -> bool:
    key, values = part.text("key"), part.texts("values")
    match part.text("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            raise part.invalid("operator", "must be In, NotIn, Exists or DoesNotExist")
