from mesh.model.identity import Identity
from mesh.model.response_flag import ResponseFlag
from mesh.model.workload import Service, Workload
from tests.mesh.worlds import policy


def test_a_workload_is_its_account() -> None:
    workload = Workload(uid="u", name="p", namespace="shop", service_account="web", services={})
    assert workload.identity == Identity("cluster.local", "shop", "web")


def test_a_service_and_a_policy_are_named_with_their_namespace() -> None:
    assert Service(name="web", namespace="shop", hostname="web.example").key == "shop/web.example"
    assert policy("p", namespace="shop").key == "shop/p"


def test_flags_are_istios_words() -> None:
    assert {flag.value for flag in ResponseFlag} == {
        "-",
        "DENY",
        "CONNECT",
        "TLS_FAILURE",
        "H2_HANDSHAKE_FAILURE",
        "NETWORK_POLICY",
        "IDENTITY_ERROR",
        "CERT_REVOKED",
    }
