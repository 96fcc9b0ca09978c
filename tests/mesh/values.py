"""Any workload, service, policy and message of the feed, for property tests."""

from enum import IntEnum
from string import ascii_lowercase

from hypothesis import strategies as st

from mesh.model.address import V4_MAPPED, Ip
from mesh.model.identity import Identity
from mesh.model.policy import (
    Action,
    Authorization,
    Cidr,
    Match,
    PolicyScope,
    ServiceAccountMatch,
    StringMatch,
    StringMatchKind,
)
from mesh.model.workload import (
    ApplicationTunnel,
    AppProtocol,
    BalanceMode,
    GatewayAddress,
    HealthPolicy,
    IpFamilies,
    LoadBalancing,
    Locality,
    NamespacedHostname,
    NetworkAddress,
    NetworkMode,
    Port,
    Scope,
    Service,
    TunnelHeader,
    TunnelProtocol,
    Visibility,
    WeightedWaypoint,
    Workload,
    WorkloadStatus,
    WorkloadType,
)
from mesh.wire.feed import (
    AddPod,
    Answer,
    Applied,
    Certificate,
    CertificateFailed,
    CertificateWanted,
    Configured,
    Drain,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    PodHeld,
    PodInfo,
    PodListening,
    Query,
    RemovePod,
    SetLogLevel,
    Spans,
    StateDelta,
)


def any_of(kind: type[IntEnum]) -> st.SearchStrategy[IntEnum]:
    return st.sampled_from(list(kind))


def few(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, max_size=2).map(tuple)


TEXT = st.text(ascii_lowercase + "-./é", max_size=12)
WORD = st.text(ascii_lowercase, min_size=1, max_size=8)
PORT = st.integers(0, 65_535)
NUMBER = st.integers(0, 2**32 - 1)
V4 = st.binary(min_size=4, max_size=4)
V6 = st.binary(min_size=16, max_size=16).filter(lambda octets: not octets.startswith(V4_MAPPED))
IP = st.one_of(V4, V6).map(Ip)
RANGE = st.one_of(
    st.tuples(V4.map(Ip), st.integers(0, 32)), st.tuples(V6.map(Ip), st.integers(0, 128))
)
NETWORK_ADDRESS = st.one_of(
    st.builds(NetworkAddress, TEXT, IP),
    st.tuples(TEXT, RANGE).map(lambda both: NetworkAddress(both[0], *both[1])),
)
GATEWAY = st.builds(
    GatewayAddress,
    st.one_of(st.builds(NamespacedHostname, TEXT, TEXT), NETWORK_ADDRESS),
    PORT,
)
PORTS = few(st.builds(Port, PORT, PORT, any_of(AppProtocol)))

WORKLOADS = st.builds(
    Workload,
    uid=WORD,
    name=TEXT,
    namespace=TEXT,
    addresses=few(IP),
    hostname=TEXT,
    network=TEXT,
    protocol=any_of(TunnelProtocol),
    trust_domain=WORD,
    service_account=WORD,
    waypoint=st.none() | GATEWAY,
    network_gateway=st.none() | GATEWAY,
    application_tunnel=st.none() | st.builds(ApplicationTunnel, any_of(TunnelHeader), PORT),
    node=TEXT,
    canonical_name=TEXT,
    canonical_revision=TEXT,
    workload_type=any_of(WorkloadType),
    workload_name=TEXT,
    native_tunnel=st.booleans(),
    authorization_policies=few(TEXT),
    status=any_of(WorkloadStatus),
    cluster_id=WORD,
    locality=st.builds(Locality, TEXT, TEXT, TEXT),
    network_mode=any_of(NetworkMode),
    capacity=NUMBER,
    account_waypoint=st.none() | GATEWAY,
    services=st.dictionaries(TEXT, PORTS, max_size=3),
)
SERVICES = st.builds(
    Service,
    name=TEXT,
    namespace=TEXT,
    hostname=WORD,
    addresses=few(NETWORK_ADDRESS),
    ports=PORTS,
    subject_alt_names=few(TEXT),
    waypoint=st.none() | GATEWAY,
    weighted_waypoints=few(st.builds(WeightedWaypoint, GATEWAY, NUMBER)),
    load_balancing=st.builds(
        LoadBalancing, any_of(BalanceMode), few(any_of(Scope)), any_of(HealthPolicy)
    ),
    ip_families=any_of(IpFamilies),
    canonical=st.booleans(),
    ingress_use_waypoint=st.booleans(),
    visibility=any_of(Visibility),
    chooses_by_account=st.booleans(),
)
PATTERNS = few(
    st.one_of(
        st.just(StringMatch(StringMatchKind.PRESENCE)),
        st.builds(
            StringMatch,
            st.sampled_from(
                [StringMatchKind.EXACT, StringMatchKind.PREFIX, StringMatchKind.SUFFIX]
            ),
            TEXT,
        ),
    )
)
CIDRS = few(RANGE.map(lambda both: Cidr(*both)))
ACCOUNTS = few(st.builds(ServiceAccountMatch, TEXT, TEXT))
MATCHES = st.builds(
    Match,
    namespaces=PATTERNS,
    not_namespaces=PATTERNS,
    principals=PATTERNS,
    not_principals=PATTERNS,
    source_ips=CIDRS,
    not_source_ips=CIDRS,
    destination_ips=CIDRS,
    not_destination_ips=CIDRS,
    destination_ports=few(PORT),
    not_destination_ports=few(PORT),
    service_accounts=ACCOUNTS,
    not_service_accounts=ACCOUNTS,
)
POLICIES = st.builds(
    Authorization,
    name=WORD,
    namespace=TEXT,
    scope=any_of(PolicyScope),
    action=any_of(Action),
    rules=few(few(few(MATCHES))),
    dry_run=st.booleans(),
)

IDENTITIES = st.builds(Identity, WORD, WORD, WORD)
PODS = st.builds(PodInfo, TEXT, TEXT, TEXT, TEXT)
WHOLE = st.integers(0, 2**60)
CONFIGURED = st.builds(Configured, TEXT, TEXT, st.binary(max_size=50))
DELTAS = st.builds(
    StateDelta,
    WHOLE,
    st.booleans(),
    st.booleans(),
    few(WORKLOADS),
    few(SERVICES),
    few(POLICIES),
    few(TEXT),
    few(TEXT),
    few(CONFIGURED),
    few(TEXT),
)
MESSAGES = st.one_of(
    DELTAS,
    st.builds(AddPod, PODS),
    st.builds(RemovePod, TEXT),
    st.builds(Certificate, IDENTITIES, st.binary(), st.binary(), st.binary(), st.floats(0, 1e12)),
    st.builds(CertificateFailed, IDENTITIES, TEXT),
    st.builds(ForgetCertificate, IDENTITIES),
    st.builds(Drain, st.floats(0, 1e6)),
    st.builds(SetLogLevel, TEXT, TEXT),
    st.builds(Query, WHOLE, TEXT),
    st.builds(Hello, WHOLE, WHOLE, few(IDENTITIES)),
    st.builds(PodHeld, PODS),
    st.just(HelloEnd()),
    st.builds(PodListening, TEXT, TEXT),
    st.builds(Applied, WHOLE),
    st.builds(CertificateWanted, IDENTITIES),
    st.builds(Answer, WHOLE, st.booleans(), st.binary()),
    st.just(Drained()),
    st.builds(Spans, st.binary(), WHOLE, WHOLE),
)
