"""A silent peer is asked, and given up when it stays silent."""

from mesh.wire.http2.keepalive import Due, Keepalive


def test_a_silent_peer_is_pinged_once_and_then_given_up() -> None:
    keepalive = Keepalive(idle_s=10, patience_s=5, last_heard=0.0)
    assert keepalive.next_deadline() == 10
    assert [keepalive.on_time(t) for t in (9, 10, 14.9, 15)] == [
        Due.NOTHING,
        Due.PING,
        Due.NOTHING,
        Due.GIVE_UP,
    ]


def test_any_octet_is_a_sign_of_life() -> None:
    keepalive = Keepalive(idle_s=10, patience_s=5, last_heard=0.0)
    assert keepalive.on_time(10) is Due.PING
    keepalive.heard(14)
    assert keepalive.next_deadline() == 24
    assert [keepalive.on_time(t) for t in (15, 23.9, 24)] == [Due.NOTHING, Due.NOTHING, Due.PING]
