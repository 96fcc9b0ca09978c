"""The policies of PeerAuthentications refuse what the evaluator says is refused, and no more."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.translate.read_peers import STATIC_STRICT, policy_of, strict_policy
from controlplane.translate.settings import Settings
from controlplane.translate.world import Translator
from mesh.model.address import SocketAddress, parse_ip
from mesh.model.fields import Json
from mesh.model.identity import Identity
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.policy.authorize import ConnectionFacts, judge
from mesh.policy.peer_authentication import Mode, PeerAuthentication, strictness

PORTS = (80, 81, 82)
POD_IP, CLIENT_IP = parse_ip("10.0.0.2"), parse_ip("10.0.0.1")
CLIENT = Identity("cluster.local", "shop", "web")

peers = st.builds(
    PeerAuthentication,
    key=st.just(ObjectKey("PeerAuthentication", "shop", "mine")),
    selector=st.just({"app": "front"}),
    mode=st.sampled_from(Mode),
    ports=st.dictionaries(st.sampled_from(PORTS), st.sampled_from(Mode)).map(
        lambda ports: dict(sorted(ports.items()))
    ),
    created=st.just(""),
)


@given(own=st.none() | peers, inherited=st.sampled_from([Mode.PERMISSIVE, Mode.STRICT]))
def test_policies_and_evaluator_agree_on_every_port(
    own: PeerAuthentication | None, inherited: Mode
) -> None:
    held = strictness(own, inherited)
    exceptional = None if own is None else policy_of(own, inherited)
    static = strict_policy(Settings())
    policies = [exceptional] if exceptional else [static] if held.everywhere else []

    for port in PORTS:
        at = SocketAddress(POD_IP, port)
        plain = ConnectionFacts(None, CLIENT_IP, at)
        assert judge(policies, (), plain).allowed is not held.refuses(port)
        assert judge(policies, (), ConnectionFacts(CLIENT, CLIENT_IP, at)).allowed


def test_a_selector_in_the_root_namespace_makes_no_policy() -> None:
    spec: Json = {
        "selector": {"matchLabels": {"app": "front"}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {"80": {"mode": "DISABLE"}},
    }
    found = KubernetesObject.of(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"name": "p", "namespace": "istio-system"},
            "spec": spec,
        }
    )

    policies = Translator(Settings()).update({found.key: found}).policies

    assert list(policies) == [f"istio-system/{STATIC_STRICT}"]
