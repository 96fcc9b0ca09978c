"""Which workload a waypoint is."""

from mesh.model.address import parse_ip
from mesh.wire.feed import StateDelta
from tests.mesh.worlds import pod
from tests.waypoint.worker.parts import context


def test_the_own_workload_is_the_states_or_what_the_settings_say() -> None:
    parts = context(NODE_NAME="node-a", NETWORK="north")
    stand_in = parts.own.now()
    assert (stand_in.uid, stand_in.network, stand_in.node) == ("", "north", "node-a")
    assert stand_in.addresses == (parse_ip("127.0.0.1"),)
    known = pod("edge-1", "10.0.0.9", account="edge")
    parts.world.apply(StateDelta(1, last=True, workloads=(known,)))
    assert parts.own.now() == known
    assert context(INSTANCE_IP="nonsense").own.now().addresses == ()
