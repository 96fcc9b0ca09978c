"""Certificate requests and the checks on what an authority answers."""

import datetime as dt
import time

import pytest
from cryptography import x509

from mesh.model.identity import Identity
from mesh.runtime import certificates
from mesh.runtime.certificates import CertificateUnfitError, checked_answer, renewal_time
from tests.pki import HOUR, Authority, Issued

WEB = Identity("cluster.local", "shop", "web")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def answer_of(issued: Issued) -> list[str]:
    return [issued.chain.decode(), issued.roots.decode()]


def check(issued: Issued, *, key: bytes = b"", named: bool = True) -> tuple[float, float]:
    certificate, not_before = checked_answer(
        WEB, key or issued.key, answer_of(issued), time.time(), named=named
    )
    return not_before, certificate.not_after


def test_a_request_names_the_identity_as_a_critical_uri_and_nothing_else() -> None:
    made = certificates.make_request(WEB)
    request = x509.load_pem_x509_csr(made.request)
    assert request.is_signature_valid
    assert list(request.subject) == []
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [str(WEB)]
    assert b"PRIVATE KEY" in made.key


def test_every_request_has_a_key_of_its_own() -> None:
    assert certificates.make_request(WEB).key != certificates.make_request(WEB).key


def test_a_good_answer_gives_a_certificate_with_its_times(authority: Authority) -> None:
    issued = authority.issue(WEB)
    not_before, not_after = check(issued)
    assert not_after == pytest.approx(issued.not_after, abs=1)
    assert not_after - not_before == pytest.approx(25 * 3600)


def test_an_intermediate_is_part_of_the_chain() -> None:
    issued = Authority(intermediate=True).issue(WEB)
    certificate, _ = checked_answer(WEB, issued.key, answer_of(issued), time.time())
    assert certificate.chain.count(b"BEGIN CERTIFICATE") == 2
    assert [one.pem for one in certificates.describe(certificate.roots)] == [certificate.roots]


def test_several_roots_may_come_in_one_text(authority: Authority) -> None:
    issued = authority.issue(WEB)
    both = (Authority().roots + issued.roots).decode()
    certificate, _ = checked_answer(WEB, issued.key, [issued.chain.decode(), both], time.time())
    assert certificate.roots.count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    ("identity", "more_uris", "reason"),
    [
        (Identity("cluster.local", "shop", "other"), (), "it names spiffe://.*other"),
        (WEB, ("spiffe://cluster.local/ns/shop/sa/two",), "it names .*web, .*two"),
        (None, (), "it names nobody"),
    ],
)
def test_an_answer_for_somebody_else_is_refused(
    authority: Authority, identity: Identity | None, more_uris: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(CertificateUnfitError, match=reason):
        check(authority.issue(identity, more_uris=more_uris))


def test_a_dedicated_proxy_takes_the_name_that_it_is_given(authority: Authority) -> None:
    check(authority.issue(Identity("other", "n", "a")), named=False)


def test_an_answer_for_another_key_is_refused(authority: Authority) -> None:
    with pytest.raises(CertificateUnfitError, match="another key"):
        check(authority.issue(WEB), key=certificates.make_request(WEB).key)
    with pytest.raises(CertificateUnfitError, match="another key"):
        check(authority.issue(WEB), key=b"no key")


def test_an_answer_that_has_expired_or_begins_later_is_refused(authority: Authority) -> None:
    with pytest.raises(CertificateUnfitError, match="expired"):
        check(authority.issue(WEB, begins=-2 * HOUR, lasts=HOUR))
    with pytest.raises(CertificateUnfitError, match="not valid before"):
        check(authority.issue(WEB, begins=HOUR))


def test_a_chain_to_other_roots_is_refused(authority: Authority) -> None:
    issued = authority.issue(WEB)
    strange = Authority().roots.decode()
    with pytest.raises(CertificateUnfitError, match="chain"):
        checked_answer(WEB, issued.key, [issued.chain.decode(), strange], time.time())


@pytest.mark.parametrize("answer", [[], ["one"], ["no pem", "no pem"]])
def test_an_answer_that_is_no_chain_is_refused(answer: list[str]) -> None:
    with pytest.raises(CertificateUnfitError):
        checked_answer(WEB, b"", answer, time.time())


def test_files_are_checked_as_an_answer_is(authority: Authority) -> None:
    issued = authority.issue(WEB)
    parts = issued.key, issued.chain, issued.roots
    assert certificates.from_files(WEB, *parts, time.time())[0].identity == WEB
    with pytest.raises(CertificateUnfitError, match="not PEM"):
        certificates.from_files(WEB, issued.key, b"", issued.roots, time.time())


def test_a_certificate_is_renewed_near_the_middle_of_its_life_and_never_after() -> None:
    day = dt.timedelta(days=1).total_seconds()
    assert renewal_time(0, day, 10, 0.0) == day / 2
    assert renewal_time(0, day, 10, 1.0) == pytest.approx(day * 0.4)
    assert renewal_time(0, day, day * 0.9, 0.5) == day * 0.9


def test_a_certificate_is_described_for_people(authority: Authority) -> None:
    issued = authority.issue(WEB)
    (described,) = certificates.describe(issued.chain)
    assert described.pem == issued.chain
    assert described.not_after == pytest.approx(issued.not_after, abs=1)
