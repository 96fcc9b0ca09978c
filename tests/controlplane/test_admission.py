"""Who may call, and who may have which certificate: each rule, and each refusal's code."""

import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from controlplane.admission import Admission
from controlplane.callers import (
    Caller,
    CallerClusterError,
    CallerGoneError,
    CallerNodeError,
    CallerRefusedError,
    CallerUntrustedError,
    ImpersonationAccountError,
    ImpersonationElsewhereError,
    ImpersonationInvalidError,
    ImpersonationRefusedError,
    ImpersonationTrustDomainError,
    ImpersonationUnboundError,
    TokenMissingError,
    TokenSignatureError,
)
from controlplane.pods import Pods, pods_of
from controlplane.tokens import Subject, mint
from mesh.model.identity import Identity
from mesh.model.kubernetes import KubernetesObject
from mesh.wire.discovery_server import ClientNode
from tests.controlplane.running import PROXIES, pod

KEY = ec.generate_private_key(ec.SECP256R1())
ADMISSION = Admission(
    token_key=KEY.public_key(),
    trust_domain="cluster.local",
    cluster_id="Kubernetes",
    trusted=frozenset({"istio-system/ztunnel"}),
)
PROXY = Caller("istio-system", "ztunnel", "ztunnel-a", "u-a")
IDENTITY = "spiffe://cluster.local/ns/shelf/sa/{}"


def pods(*more: dict[str, object]) -> Pods:
    found = [KubernetesObject.of(each, "test") for each in (*PROXIES, *more)]  # type: ignore[arg-type]
    return pods_of({each.key: each for each in found})


WORLD = pods(
    pod("shelf", "catalogue", account="catalogue"),
    pod("shelf", "pending", account="pending", phase="Pending"),
    pod("shelf", "index", account="index", node="b"),
    pod("shelf", "done", account="done", phase="Succeeded"),
    pod("shelf", "failed", account="failed", phase="Failed"),
    pod("shelf", "unplaced", account="unplaced", node=""),
)


def called(subject: Subject, **metadata: str) -> Caller:
    token = mint(KEY, subject, time.time())
    return ADMISSION.caller({"authorization": f"Bearer {token}", **metadata}, WORLD)


def proxy(**changed: str) -> Subject:
    said = {
        "namespace": "istio-system",
        "service_account": "ztunnel",
        "pod": "ztunnel-a",
        "pod_uid": "u-a",
    }
    return Subject(**(said | changed))


def test_a_caller_is_whom_its_token_names_while_its_pod_lives() -> None:
    assert called(proxy()) == PROXY
    assert called(proxy(), clusterid="Kubernetes") == PROXY
    assert called(proxy(pod="", pod_uid="")) == Caller("istio-system", "ztunnel")


@pytest.mark.parametrize(
    ("subject", "metadata", "refusal"),
    [
        (proxy(pod="ztunnel-z"), {}, CallerGoneError),
        (proxy(pod_uid="u-old"), {}, CallerGoneError),
        (proxy(service_account="other"), {}, CallerGoneError),
        (
            proxy(namespace="shelf", service_account="done", pod="done", pod_uid="u-done"),
            {},
            CallerGoneError,
        ),
        (proxy(), {"clusterid": "other"}, CallerClusterError),
    ],
    ids=["no such pod", "another uid", "another account", "a pod that has ended", "cluster"],
)
def test_a_caller_that_is_not_so_any_more_is_refused(
    subject: Subject, metadata: dict[str, str], refusal: type[CallerRefusedError]
) -> None:
    with pytest.raises(refusal):
        called(subject, **metadata)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc"])
def test_a_call_without_a_bearer_token_is_refused(header: str) -> None:
    with pytest.raises(TokenMissingError):
        ADMISSION.caller({"authorization": header} if header else {}, WORLD)


def test_a_strangers_token_is_refused() -> None:
    token = mint(ec.generate_private_key(ec.SECP256R1()), proxy(), time.time())
    with pytest.raises(TokenSignatureError):
        ADMISSION.caller({"authorization": f"Bearer {token}"}, WORLD)


def test_only_node_proxies_read_the_mesh() -> None:
    ADMISSION.reader(PROXY, WORLD)
    with pytest.raises(CallerUntrustedError):
        ADMISSION.reader(Caller("shelf", "catalogue", "catalogue", "u-catalogue"), WORLD)


def test_a_node_id_must_be_of_the_callers_namespace() -> None:
    ADMISSION.node(PROXY, ClientNode("id", "ztunnel-a", "istio-system", "a"))
    with pytest.raises(CallerNodeError):
        ADMISSION.node(PROXY, ClientNode("id", "ztunnel-a", "shelf", "a"))


@pytest.mark.parametrize("account", ["catalogue", "pending"])
def test_a_node_proxy_has_the_identities_of_the_live_pods_of_its_node(account: str) -> None:
    wanted = IDENTITY.format(account)
    assert ADMISSION.identity(PROXY, wanted, WORLD) == Identity.parse(wanted)


@pytest.mark.parametrize(
    "caller", [PROXY, Caller("shelf", "catalogue", "catalogue", "u-catalogue"), Caller("a", "b")]
)
def test_who_asks_for_nobody_gets_its_own_identity(caller: Caller) -> None:
    own = ADMISSION.identity(caller, None, WORLD)
    assert own == Identity("cluster.local", caller.namespace, caller.service_account)


@pytest.mark.parametrize(
    ("caller", "wanted", "refusal"),
    [
        (PROXY, IDENTITY.format("index"), ImpersonationElsewhereError),
        (PROXY, IDENTITY.format("done"), ImpersonationElsewhereError),
        (PROXY, IDENTITY.format("failed"), ImpersonationElsewhereError),
        (PROXY, IDENTITY.format("ghost"), ImpersonationElsewhereError),
        (PROXY, IDENTITY.format("unplaced"), ImpersonationElsewhereError),
        (PROXY, "spiffe://elsewhere/ns/shelf/sa/catalogue", ImpersonationTrustDomainError),
        (PROXY, "shelf/catalogue", ImpersonationInvalidError),
        (PROXY, "", ImpersonationInvalidError),
        (
            Caller("istio-system", "ztunnel"),
            IDENTITY.format("catalogue"),
            ImpersonationUnboundError,
        ),
        (
            Caller("shelf", "catalogue", "catalogue", "u-catalogue"),
            IDENTITY.format("catalogue"),
            ImpersonationAccountError,
        ),
    ],
)
def test_every_other_identity_is_refused_by_its_own_code(
    caller: Caller, wanted: str, refusal: type[ImpersonationRefusedError]
) -> None:
    with pytest.raises(refusal):
        ADMISSION.identity(caller, wanted, WORLD)


def test_the_callers_pod_is_looked_at_again_with_each_certificate() -> None:
    with pytest.raises(CallerGoneError):
        ADMISSION.identity(PROXY, IDENTITY.format("catalogue"), Pods())


def test_a_pod_without_an_account_runs_as_default() -> None:
    manifest = pod("shelf", "plain")
    manifest["spec"] = {"nodeName": "a"}
    assert pods(manifest).runs_on("a", "shelf", "default")
    manifest["spec"] = {"nodeName": "a", "serviceAccountName": ["odd"]}
    assert pods(manifest).runs_on("a", "shelf", "default")
