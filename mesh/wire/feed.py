"""What a control process and its workers say to each other.

One message is one packet on an inherited SOCK_SEQPACKET pair, so that a reader never finds half a
message, also when the writer was killed. A packet carries at most one descriptor (a pod's network
namespace). Keys travel here: the pair has no name in the file system.
"""

from dataclasses import dataclass

from mesh.model.identity import Identity
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload

MAX_PACKET_OCTETS = 128 * 1024
"""Lists are cut into packets below this; it fits the kernel's default send buffer."""


@dataclass(frozen=True, slots=True)
class PodInfo:
    """Which pod a network namespace belongs to, as ZDS says it."""

    uid: str
    name: str
    namespace: str
    service_account: str
    only_port: int = 0
    """Not 0: the node proxy's own pod, served by HBONE alone, and only at this port."""


@dataclass(frozen=True, slots=True)
class Configured:
    """A resource of a waypoint's configuration, as mesh/wire/configuration_values.py writes it.

    It travels as octets: one encoding of routes is enough.
    """

    key: str
    """Its name in discovery."""
    kind: str
    octets: bytes


# Control to worker.


@dataclass(frozen=True, slots=True)
class StateDelta:
    """A part of one state version; the receiver applies it at once and answers `Applied` when last.

    `reset` (on the first part) means: forget everything before applying this version.
    `removed` holds workload uids, `namespace/hostname` of services, `namespace/name` of policies,
    names of configuration resources.
    """

    version: int
    last: bool
    reset: bool = False
    workloads: tuple[Workload, ...] = ()
    services: tuple[Service, ...] = ()
    policies: tuple[Authorization, ...] = ()
    removed_addresses: tuple[str, ...] = ()
    removed_policies: tuple[str, ...] = ()
    configuration: tuple[Configured, ...] = ()
    removed_configuration: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddPod:
    """Listen in this pod. The packet carries its netns descriptor."""

    pod: PodInfo


@dataclass(frozen=True, slots=True)
class RemovePod:
    """Stop serving this pod now; its connections end."""

    uid: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """An identity's key and chain (PEM, leaf first, no root) and the roots to trust (PEM)."""

    identity: Identity
    key: bytes
    chain: bytes
    roots: bytes
    not_after: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class CertificateFailed:
    """No certificate for now; the worker fails the waiting connections with this reason."""

    identity: Identity
    reason: str


@dataclass(frozen=True, slots=True)
class ForgetCertificate:
    """No local pod has this identity any more."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop accepting, say GOAWAY, end within the deadline (seconds)."""

    deadline_s: float


@dataclass(frozen=True, slots=True)
class SetLogLevel:
    """A level for one logger, or for all (empty name).

    An empty level is the one that the settings gave at the start; for all, every logger's.
    """

    logger: str
    level: str


@dataclass(frozen=True, slots=True)
class Query:
    """Ask for `metrics` or `connections`; the worker answers with the same number.

    `hello` asks for Hello. The shape of each answer is in mesh/wire/feed_answers.py.
    """

    number: int
    topic: str


# Worker to control.


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of a worker to each control process: what it already has."""

    pid: int
    state_version: int
    identities: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class PodHeld:
    """After Hello, one per pod: this pod is served here. The packet carries its netns."""

    pod: PodInfo


@dataclass(frozen=True, slots=True)
class HelloEnd:
    """All pods have been told."""


@dataclass(frozen=True, slots=True)
class PodListening:
    """Answer to AddPod: every listener accepts, or why not."""

    uid: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """The worker decides by this state version from now on."""

    version: int


@dataclass(frozen=True, slots=True)
class CertificateWanted:
    """A connection waits for this identity."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a Query, in parts until `last`: the bodies together are what the topic says."""

    number: int
    last: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Drained:
    """No connection is left, or the deadline has passed."""


@dataclass(frozen=True, slots=True)
class Spans:
    """What a waypoint's worker has traced, as mesh/wire/spans.py writes it."""

    octets: bytes
    count: int
    lost: int
    """How many more there were since the last message, for which there was no room."""


ToWorker = (
    StateDelta
    | AddPod
    | RemovePod
    | Certificate
    | CertificateFailed
    | ForgetCertificate
    | Drain
    | SetLogLevel
    | Query
)
ToControl = (
    Hello
    | PodHeld
    | HelloEnd
    | PodListening
    | Applied
    | CertificateWanted
    | Answer
    | Drained
    | Spans
)
