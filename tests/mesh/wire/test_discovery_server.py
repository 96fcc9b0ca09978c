"""The server's side of delta discovery: recorded conversations, then each rule of its own."""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import TypedDict

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import PeerError
from mesh.proto import workload_pb2
from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.proto.node_pb2 import Node
from mesh.proto.status_pb2 import Status
from mesh.wire.discovery_catalogue import (
    ADDRESS_TYPE,
    AUTHORIZATION_TYPE,
    Catalogue,
    Published,
    Resource,
    difference,
    make_resource,
    successor,
)
from mesh.wire.discovery_server import (
    MAX_NAME_LENGTH,
    Acknowledged,
    ClientNode,
    DiscoveryRequestInvalidError,
    DiscoveryStream,
    Rejected,
)
from tests.controlplane.translate.recordings import recorded as recorded_world

NODE_ID = "ztunnel~192.0.2.9~ztunnel-recorder.istio-system~istio-system.svc.cluster.local"
NOT_OF_THE_WORLD = ("ztunnel-recorder", "default/kubernetes")
"""What the recordings leave out of their answers, but not of what the client said that it has."""


class World:
    """Publications that follow one another, made of messages."""

    def __init__(self) -> None:
        self.now = Published(1)
        self.seen: dict[str, str] = {}
        """What our versions are called in the recording."""

    def put(self, **changes: Mapping[str, bytes | None]) -> Published:
        """Add, change or (None) remove messages of `addresses` and `policies`."""
        catalogues = dict(self.now.catalogues)
        for word, messages in changes.items():
            type_url = {"addresses": ADDRESS_TYPE, "policies": AUTHORIZATION_TYPE}[word]
            resources = dict(catalogues[type_url].resources)
            for name, message in messages.items():
                if message is None:
                    del resources[name]
                else:
                    resources[name] = resource_of(type_url, name, message)
            catalogues[type_url] = successor(catalogues[type_url], resources)
        self.now = Published(self.now.generation + 1, catalogues)
        return self.now


def resource_of(type_url: str, name: str, message: bytes) -> Resource:
    """A resource with what a workload's or service's message says beside it."""
    if type_url != ADDRESS_TYPE:
        return make_resource(type_url, name, message)
    address = workload_pb2.Address.FromString(message)
    if address.HasField("service"):
        ips = [each.address for each in address.service.addresses]
        return make_resource(type_url, name, message, aliases=aliases(ips))
    workload = address.workload
    return make_resource(
        type_url,
        name,
        message,
        aliases=aliases(list(workload.addresses)),
        node=workload.node,
        services=tuple(workload.services),
    )


def aliases(ips: list[bytes]) -> tuple[str, ...]:
    return tuple("/" + ".".join(str(octet) for octet in ip) for ip in ips)


def request(type_url: str = ADDRESS_TYPE, **fields: object) -> DeltaDiscoveryRequest:
    metadata = Struct()
    metadata.update({"NODE_NAME": "dock-1"})
    made = DeltaDiscoveryRequest(type_url=type_url, node=Node(id=NODE_ID, metadata=metadata))
    for name, value in fields.items():
        if isinstance(value, dict):
            made.initial_resource_versions.update(value)
        elif isinstance(value, str):
            made.response_nonce = value
        elif isinstance(value, Status):
            made.error_detail.CopyFrom(value)
        elif isinstance(value, list):
            getattr(made, f"resource_names_{name}").extend(value)
    return made


def ask(stream: DiscoveryStream, asked: DeltaDiscoveryRequest) -> DeltaDiscoveryResponse | None:
    stream.receive(asked.SerializeToString())
    return answer(stream)


def answer(stream: DiscoveryStream) -> DeltaDiscoveryResponse | None:
    octets = stream.next_response()
    return None if octets is None else DeltaDiscoveryResponse.FromString(octets)


def acknowledge(stream: DiscoveryStream, response: DeltaDiscoveryResponse) -> None:
    event = stream.receive(request(response.type_url, nonce=response.nonce).SerializeToString())
    assert event == Acknowledged(response.type_url)


def answered(stream: DiscoveryStream) -> list[DeltaDiscoveryResponse]:
    """All responses until there is nothing more to say, each acknowledged at once."""
    seen = []
    while (response := answer(stream)) is not None:
        acknowledge(stream, response)
        seen.append(response)
    return seen


def named(response: DeltaDiscoveryResponse | None) -> tuple[list[str], list[str]]:
    """Names sent, names removed."""
    assert response is not None
    return sorted(r.name for r in response.resources), sorted(response.removed_resources)


# Recorded conversations.


class RecordedResource(TypedDict):
    name: str
    aliases: list[str]
    version: str
    bytes: str


class RecordedMessage(TypedDict, total=False):
    type_url: str
    resources: list[RecordedResource]
    removed_resources: list[str]
    resource_names_subscribe: list[str]
    resource_names_unsubscribe: list[str]
    initial_resource_versions: dict[str, str]


class RecordedStep(TypedDict):
    step: str
    events: list[dict[str, RecordedMessage]]


def steps_of(world: str) -> list[RecordedStep]:
    loaded: list[RecordedStep] = json.loads((recorded_world(world) / "expected.json").read_text())[
        "stream"
    ]
    return loaded


def messages(step: RecordedStep, kind: str) -> Iterator[RecordedMessage]:
    for event in step["events"]:
        if kind in event:
            yield event[kind]


def octets_of(resource: RecordedResource) -> bytes:
    return base64.b64decode(resource["bytes"])


ComparedResource = tuple[str, list[str], str, bytes]


def comparable(response: DeltaDiscoveryResponse) -> tuple[str, list[ComparedResource], list[str]]:
    resources: list[ComparedResource] = sorted(
        (r.name, sorted(r.aliases), r.resource.type_url, r.resource.value)
        for r in response.resources
    )
    return response.type_url, resources, sorted(response.removed_resources)


def recorded(response: RecordedMessage) -> tuple[str, list[ComparedResource], list[str]]:
    kind = response["type_url"]
    resources: list[ComparedResource] = sorted(
        (r["name"], sorted(r["aliases"]), kind, octets_of(r)) for r in response["resources"]
    )
    return kind, resources, sorted(response["removed_resources"])


def replayed(world: World, message: RecordedMessage) -> DeltaDiscoveryRequest:
    """A recorded request, with our versions for those of the recording."""
    versions = {
        name: world.seen.get(version, version)
        for name, version in message.get("initial_resource_versions", {}).items()
        if not any(word in name for word in NOT_OF_THE_WORLD)
    }
    return request(
        message["type_url"],
        subscribe=message.get("resource_names_subscribe", []),
        unsubscribe=message.get("resource_names_unsubscribe", []),
        versions=versions,
    )


def after(world: World, step: RecordedStep) -> Published:
    """The world as the step's responses show it."""
    changes: dict[str, dict[str, bytes | None]] = {"addresses": {}, "policies": {}}
    for response in messages(step, "response"):
        is_address = response["type_url"] == ADDRESS_TYPE
        of_type = changes["addresses" if is_address else "policies"]
        of_type |= {r["name"]: octets_of(r) for r in response["resources"]}
        held = world.now.catalogues[response["type_url"]].resources
        of_type |= {name: None for name in response["removed_resources"] if name in held}
    published = world.put(**changes)
    for response in messages(step, "response"):
        for resource in response["resources"]:
            ours = published.catalogues[response["type_url"]].resources[resource["name"]].version
            if resource["version"]:
                world.seen[resource["version"]] = ours
    return published


def test_the_recorded_stream_is_spoken_as_istiod_speaks_it() -> None:
    world = World()
    stream = DiscoveryStream(world.now)
    steps = steps_of("stream")
    for step in steps:
        published = after(world, step)
        asked = list(messages(step, "request"))
        if asked:
            stream = DiscoveryStream(published)
        else:
            stream.publish(published)
        said = []
        for message in asked:
            stream.receive(replayed(world, message).SerializeToString())
            said += answered(stream)
        said += answered(stream)
        expected = [recorded(response) for response in messages(step, "response")]
        assert [comparable(response) for response in said] == expected, step["step"]
        assert answered(stream) == []
        assert stream.acknowledged_generation == published.generation
    assert len(steps) == 12


ON_DEMAND_INSTEAD: dict[str, list[tuple[list[str], list[str]]]] = {
    # What the README of the recordings calls slips: a new endpoint is sent, and an unsubscription
    # removes what nothing else wants.
    "a second endpoint of a service that is subscribed": [
        (["Kubernetes//Pod/shelf/catalogue-two"], [])
    ],
    "the client unsubscribes from a service": [
        (
            [],
            ["Kubernetes//Pod/shelf/catalogue-two", "shelf/catalogue.shelf.svc.cluster.local"],
        )
    ],
    "a change to the service that is no longer subscribed": [
        (["Kubernetes//Pod/shelf/catalogue"], [])
    ],
}


def test_the_recorded_stream_on_demand_is_spoken_as_istiod_should_speak_it() -> None:
    steps = steps_of("stream-on-demand")
    first: dict[str, bytes] = {}
    last: dict[str, bytes] = {}
    for step in steps:
        for response in messages(step, "response"):
            for resource in response["resources"]:
                first.setdefault(resource["name"], octets_of(resource))
                last[resource["name"]] = octets_of(resource)
    two = workload_pb2.Address.FromString(first["Kubernetes//Pod/shelf/catalogue-two"])
    two.workload.services["shelf/catalogue.shelf.svc.cluster.local"].ports[0].target_port = 8080
    printer = workload_pb2.Address(workload={"name": "printer", "node": "dock-2"})
    changes: dict[str, dict[str, bytes | None]] = {
        "the client connects": {
            name: octets
            for name, octets in first.items()
            if "two" not in name and "binder" not in name
        },
        "a second endpoint of a service that is subscribed": {
            "Kubernetes//Pod/shelf/catalogue-two": two.SerializeToString(deterministic=True)
        },
        "a new pod on the node of the client": {
            "Kubernetes//Pod/press/binder": first["Kubernetes//Pod/press/binder"]
        },
        "a pod elsewhere that nobody asked for": {
            "Kubernetes//Pod/press/printer": printer.SerializeToString()
        },
        "a subscribed pod is deleted": {"Kubernetes//Pod/shelf/index": None},
        "a change to the service that is no longer subscribed": {
            name: octets for name, octets in last.items() if "shelf/catalogue" in name
        },
    }
    world = World()
    stream = DiscoveryStream(world.now)
    for step in steps:
        stream.publish(world.put(addresses=changes.get(step["step"], {})))
        said = []
        for message in messages(step, "request"):
            stream.receive(replayed(world, message).SerializeToString())
            said += answered(stream)
        said += answered(stream)
        if step["step"] in ON_DEMAND_INSTEAD:
            assert [named(response) for response in said] == ON_DEMAND_INSTEAD[step["step"]]
        else:
            expected = [recorded(response) for response in messages(step, "response")]
            assert [comparable(response) for response in said] == expected, step["step"]
    assert len(steps) == 13


# Rules of our own.


def both(world: World) -> DiscoveryStream:
    """A stream that has asked for both types and acknowledged everything."""
    stream = DiscoveryStream(world.now, "n")
    for type_url in (ADDRESS_TYPE, AUTHORIZATION_TYPE):
        stream.receive(request(type_url).SerializeToString())
        answered(stream)
    return stream


def message(word: str) -> bytes:
    return workload_pb2.Address(workload={"name": word}).SerializeToString()


def test_changes_gather_while_a_response_is_not_answered() -> None:
    world = World()
    stream = both(world)
    stream.publish(world.put(addresses={"a": message("1")}))
    first = answer(stream)
    stream.publish(world.put(addresses={"a": message("2"), "b": message("1")}))
    stream.publish(world.put(addresses={"a": message("3"), "b": None, "c": message("1")}))
    assert stream.is_waiting
    assert answer(stream) is None
    assert first is not None
    acknowledge(stream, first)
    second = answer(stream)
    assert named(second) == (["a", "c"], [])
    assert second is not None
    assert second.resources[0].resource.value == message("3")
    assert stream.acknowledged_generation == world.now.generation - 2
    acknowledge(stream, second)
    assert answer(stream) is None
    assert stream.acknowledged_generation == world.now.generation


def test_an_unchanged_object_is_never_sent_again() -> None:
    world = World()
    world.put(addresses={"a": message("1")})
    stream = both(world)
    before = world.now.catalogues[ADDRESS_TYPE]
    stream.publish(world.put(addresses={"a": message("1")}))
    assert world.now.catalogues[ADDRESS_TYPE] is before
    assert answer(stream) is None
    assert stream.acknowledged_generation == world.now.generation


def test_a_policy_comes_before_the_workloads_that_name_it_and_goes_after_them() -> None:
    world = World()
    stream = both(world)
    stream.publish(world.put(addresses={"a": message("1")}, policies={"p": b"", "q": b""}))
    assert [r.type_url for r in answered(stream)] == [AUTHORIZATION_TYPE, ADDRESS_TYPE]
    stream.publish(
        world.put(addresses={"a": message("2")}, policies={"p": b"\x0a\x01p", "q": None})
    )
    said = [answer(stream)]
    assert named(said[0]) == (["p"], [])
    assert stream.acknowledged_generation == world.now.generation - 1
    assert said[0] is not None
    acknowledge(stream, said[0])
    assert stream.acknowledged_generation == world.now.generation - 1
    assert [named(r) for r in answered(stream)] == [(["a"], []), ([], ["q"])]
    assert stream.acknowledged_generation == world.now.generation


def test_workloads_wait_while_the_policies_before_them_cannot_be_sent() -> None:
    world = World()
    stream = both(world)
    stream.publish(world.put(policies={"p": b""}))
    policies = answer(stream)
    stream.publish(world.put(policies={"q": b""}, addresses={"a": message("1")}))
    assert answer(stream) is None
    assert policies is not None
    acknowledge(stream, policies)
    assert [named(r)[0] for r in answered(stream)] == [["q"], ["a"]]


def test_a_removed_policy_that_comes_back_before_it_was_told_is_not_removed() -> None:
    world = World()
    world.put(policies={"p": b""}, addresses={"a": message("1")})
    stream = both(world)
    stream.publish(world.put(addresses={"a": message("2")}))
    held_up = answer(stream)
    stream.publish(world.put(policies={"p": None}, addresses={"a": message("3")}))
    assert answer(stream) is None
    stream.publish(world.put(policies={"p": b"\x0a\x01p"}))
    assert named(answer(stream)) == (["p"], [])
    assert held_up is not None
    acknowledge(stream, held_up)
    assert named(answer(stream)) == (["a"], [])


def test_what_is_rejected_is_remembered_and_not_sent_again_until_it_changes() -> None:
    world = World()
    stream = both(world)
    before = world.now.generation
    stream.publish(world.put(addresses={"bad": message("1"), "good": message("1")}))
    response = answer(stream)
    assert response is not None
    refusal = request(nonce=response.nonce, error=Status(message="bad: no such address"))
    assert stream.receive(refusal.SerializeToString()) == Rejected(
        ADDRESS_TYPE, "bad: no such address"
    )
    assert answer(stream) is None
    assert (stream.rejection, stream.acknowledged_generation) == ("bad: no such address", before)
    stream.publish(world.put(addresses={"good": message("2")}))
    assert [named(r)[0] for r in answered(stream)] == [["good"]]
    assert stream.rejection == "bad: no such address"
    stream.publish(world.put(addresses={"bad": message("2")}))
    assert [named(r)[0] for r in answered(stream)] == [["bad"]]
    assert (stream.rejection, stream.acknowledged_generation) == ("", world.now.generation)


def test_a_rejection_that_names_nothing_is_remembered_until_the_next_acknowledgement() -> None:
    world = World()
    stream = both(world)
    stream.publish(world.put(addresses={"a": message("1")}))
    response = answer(stream)
    assert response is not None
    stream.receive(request(nonce=response.nonce, error=Status(code=3)).SerializeToString())
    stream.publish(world.put(policies={"p": b""}))
    assert stream.rejection == "rejected without a reason"
    stream.publish(world.put(addresses={"a": message("2")}))
    answered(stream)
    assert stream.rejection == ""


def test_an_answer_with_another_nonce_answers_nothing() -> None:
    world = World()
    stream = both(world)
    stream.publish(world.put(addresses={"a": message("1")}))
    answer(stream)
    assert stream.receive(request(nonce="n1").SerializeToString()) is None
    assert stream.is_waiting


def test_who_has_asked_for_one_type_has_acknowledged_nothing_yet() -> None:
    world = World()
    stream = DiscoveryStream(world.put())
    stream.receive(request().SerializeToString())
    answered(stream)
    assert stream.acknowledged_generation == 0


def test_who_wants_everything_may_ask_for_single_names_again() -> None:
    world = World()
    world.put(addresses={"a": message("1"), "b": message("1")})
    stream = both(world)
    assert named(ask(stream, request(subscribe=["a", "ghost"]))) == (["a"], ["ghost"])


def test_a_client_may_change_between_everything_and_single_names() -> None:
    world = World()
    world.put(addresses={"a": message("1"), "b": message("1")})
    stream = DiscoveryStream(world.now)
    stream.receive(request(subscribe=["a"]).SerializeToString())
    assert [named(r) for r in answered(stream)] == [(["a"], [])]
    stream.receive(request(subscribe=["*"]).SerializeToString())
    assert [named(r) for r in answered(stream)] == [(["b"], [])]
    stream.receive(request(unsubscribe=["*"], subscribe=["b"]).SerializeToString())
    assert [named(r) for r in answered(stream)] == [(["b"], [])]
    stream.publish(world.put(addresses={"a": message("2"), "b": message("2")}))
    assert [named(r) for r in answered(stream)] == [(["b"], [])]


def test_on_demand_a_client_that_comes_back_goes_on_wanting_what_it_has() -> None:
    world = World()
    world.put(addresses={"a": message("1"), "b": message("1"), "c": message("1")})
    version = world.now.catalogues[ADDRESS_TYPE].resources["a"].version
    stream = DiscoveryStream(world.now)
    again = request(
        subscribe=["*"], unsubscribe=["*"], versions={"a": version, "b": "", "gone": "0"}
    )
    assert named(ask(stream, again)) == (["b"], ["gone"])


def test_a_version_is_a_hash_of_the_octets() -> None:
    one, same, other = (make_resource(ADDRESS_TYPE, "a", octets) for octets in (b"x", b"x", b"y"))
    assert one.version == same.version != other.version
    assert not difference({"a": one}, {"a": same})


def test_somebody_far_behind_is_told_the_sum() -> None:
    world = World()
    start = world.put(addresses={"a": message("1"), "b": message("1")}).catalogues[ADDRESS_TYPE]
    world.put(addresses={"a": message("2")})
    world.put(addresses={"b": None, "c": message("1")})
    owed = world.now.catalogues[ADDRESS_TYPE].since(start)
    assert ([r.name for r in owed.changed], owed.removed) == (["a", "c"], ("b",))
    assert Catalogue({}).since(Catalogue({})).changed == ()


@pytest.mark.parametrize("length", [0, 1, 127, 128, 20_000])
def test_a_resource_is_framed_as_protobuf_frames_it(length: int) -> None:
    resource = make_resource(ADDRESS_TYPE, "a", bytes(length), aliases=("/192.0.2.1", "/::1"))
    for framed, seen in (
        (resource.framed, []),
        (resource.framed_with_aliases, ["/192.0.2.1", "/::1"]),
    ):
        response = DeltaDiscoveryResponse.FromString(framed)
        assert list(response.resources[0].aliases) == seen
        assert response.resources[0].resource.value == bytes(length)


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff",
        DeltaDiscoveryRequest(type_url=ADDRESS_TYPE).SerializeToString(),
        request("type.googleapis.com/envoy.config.cluster.v3.Cluster").SerializeToString(),
        request(subscribe=["n" * (MAX_NAME_LENGTH + 1)]).SerializeToString(),
    ],
)
def test_a_request_that_makes_no_sense_ends_the_stream(bad: bytes) -> None:
    with pytest.raises(DiscoveryRequestInvalidError):
        DiscoveryStream(Published()).receive(bad)


def test_a_node_says_who_it_is() -> None:
    node = ClientNode.parse(NODE_ID, "dock-1")
    assert (node.pod, node.namespace, node.node_name) == (
        "ztunnel-recorder", "istio-system", "dock-1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ztunnel~192.0.2.9~pod.ns",
        "sidecar~192.0.2.9~pod.ns~ns.svc",
        "ztunnel~192.0.2~pod.ns~ns.svc",
        "ztunnel~192.0.2.9~pod~ns.svc",
        "ztunnel~192.0.2.9~.ns~ns.svc",
    ],
)
def test_a_node_id_of_another_form_is_refused(bad: str) -> None:
    with pytest.raises(DiscoveryRequestInvalidError):
        ClientNode.parse(bad, "")


@given(st.lists(st.binary(max_size=60), max_size=4), st.binary(max_size=40))
def test_garbage_is_a_request_or_an_error_of_the_peer(octets: list[bytes], tail: bytes) -> None:
    world = World()
    world.put(addresses={"a": message("1")})
    for each in (*octets, request().SerializeToString() + tail):
        stream = both(world)
        with contextlib.suppress(PeerError):
            stream.receive(each)
        while stream.next_response() is not None:
            pass


names = st.lists(st.sampled_from(["a", "b", "c", "/192.0.2.1", "ghost", "*"]), max_size=3)
values = st.sampled_from([None, "1", "2"])


@given(
    st.booleans(),
    st.lists(st.tuples(st.dictionaries(st.sampled_from("abc"), values), names, names), max_size=8),
)
def test_whatever_happens_a_client_ends_up_with_what_it_wants(
    is_wildcard: bool, steps: list[tuple[dict[str, str | None], list[str], list[str]]]
) -> None:
    world, have = World(), dict[str, bytes]()
    stream = DiscoveryStream(world.now)
    stream.receive(request(subscribe=[] if is_wildcard else ["a"]).SerializeToString())
    for changes, subscribe, unsubscribe in steps:
        held = world.now.catalogues[ADDRESS_TYPE].resources
        put = {
            name: None if word is None else message(word)
            for name, word in changes.items()
            if word is not None or name in held
        }
        stream.publish(world.put(addresses=put))
        if not is_wildcard:
            wanted = [name for name in subscribe if name != "*"]
            unwanted = [name for name in unsubscribe if name not in ("*", "a")]
            asked = request(subscribe=wanted, unsubscribe=unwanted)
            stream.receive(asked.SerializeToString())
        for response in answered(stream):
            have |= {r.name: r.resource.value for r in response.resources}
            for name in response.removed_resources:
                have.pop(name, None)
    current = world.now.catalogues[ADDRESS_TYPE].resources
    if is_wildcard and steps:
        assert have.keys() == current.keys()
    for name, value in have.items():
        assert make_resource(ADDRESS_TYPE, name, value).version == current[name].version
    if steps and "a" in current:
        assert "a" in have
