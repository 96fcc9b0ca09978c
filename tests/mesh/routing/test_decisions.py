from mesh.model.address import Ip, SocketAddress
from mesh.model.workload import IpFamilies
from mesh.routing.decisions import NeedsResolution, PlainTcp, Refused, accepts
from tests.mesh.worlds import at, ip

FOUR, SIX = ip("192.0.2.1"), ip("2001:db8::1")


def unresolved(families: IpFamilies, wanted: Ip = FOUR) -> NeedsResolution:
    return NeedsResolution(
        "db.example", wanted, families, lambda found: PlainTcp(SocketAddress(found, 80))
    )


def test_an_address_like_the_called_one_is_preferred() -> None:
    decision = unresolved(IpFamilies.AUTOMATIC)
    assert decision.fitting([SIX, FOUR], lambda _n: 0) == PlainTcp(at("192.0.2.1:80"))
    assert decision.fitting([SIX], lambda _n: 0) == PlainTcp(at("[2001:db8::1]:80"))


def test_of_several_alike_one_is_drawn() -> None:
    addresses = [ip("192.0.2.1"), SIX, ip("192.0.2.2")]
    chosen = unresolved(IpFamilies.DUAL).fitting(addresses, lambda n: n - 1)
    assert chosen == PlainTcp(at("192.0.2.2:80"))


def test_without_an_address_that_is_allowed_there_is_no_way() -> None:
    decision = unresolved(IpFamilies.IPV6_ONLY)
    for addresses in ([], [FOUR]):
        refused = decision.fitting(addresses, lambda _n: 0)
        assert isinstance(refused, Refused)
        assert refused.code == "route_no_address"


def test_families_allow_what_they_say() -> None:
    assert accepts(IpFamilies.IPV4_ONLY, FOUR)
    assert not accepts(IpFamilies.IPV4_ONLY, SIX)
    assert accepts(IpFamilies.IPV6_ONLY, SIX)
    assert accepts(IpFamilies.DUAL, FOUR)
