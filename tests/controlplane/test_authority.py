"""The authority: made once, kept, never given away, and what it signs."""

import datetime as dt
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from controlplane.authority import KEY_FILE, ROOT_FILE, Authority, load_authority
from controlplane.issue import server_key_pair, workload_certificate
from controlplane.serving import ServingCertificate, server_names
from controlplane.state_files import StateUnusableError
from controlplane.tokens import load_token_key
from mesh.model.identity import Identity

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
WEB = Identity("cluster.local", "shop", "web")
KEY = ec.generate_private_key(ec.SECP256R1())


def load(state: Path, trust_domain: str = "cluster.local", now: dt.datetime = NOW) -> Authority:
    return load_authority(state, trust_domain, now)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_at_the_first_start_and_the_same_ever_after(tmp_path: Path) -> None:
    state = tmp_path / "made" / "state"
    first = load(state)
    assert load(state).roots == first.roots == (state / ROOT_FILE).read_bytes()
    assert (mode_of(state / KEY_FILE), mode_of(state / ROOT_FILE)) == (0o600, 0o644)
    load_token_key(state)
    assert mode_of(state / "token-key.pem") == 0o600
    assert load_token_key(state).private_numbers() == load_token_key(state).private_numbers()


def test_starts_at_the_same_time_end_up_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        roots = {each.roots for each in pool.map(load, [tmp_path / "state"] * 8)}
    assert len(roots) == 1


def test_a_start_that_was_cut_off_after_the_key_goes_on_with_it(tmp_path: Path) -> None:
    key = load(tmp_path).key
    (tmp_path / ROOT_FILE).unlink()
    assert load(tmp_path).key.private_numbers() == key.private_numbers()


def spoil_key(state: Path) -> None:
    (state / KEY_FILE).unlink()


def spoil_key_text(state: Path) -> None:
    (state / KEY_FILE).write_bytes(b"garbage")


def spoil_key_kind(state: Path) -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (state / KEY_FILE).write_bytes(pem)


def spoil_rights(state: Path) -> None:
    (state / KEY_FILE).chmod(0o640)


def spoil_root(state: Path) -> None:
    (state / ROOT_FILE).write_bytes(b"garbage")


def spoil_size(state: Path) -> None:
    (state / ROOT_FILE).write_bytes(bytes(300_000))


def spoil_pair(state: Path) -> None:
    other = load(state / "other")
    (state / ROOT_FILE).write_bytes(other.roots)


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        (spoil_key, "ca-key.pem: is missing beside root-cert.pem: restore both"),
        (spoil_key_text, "holds no key in PEM"),
        (spoil_key_kind, "holds another key than P-256"),
        (spoil_rights, "others can read this key: chmod 600"),
        (spoil_root, "holds no certificate in PEM"),
        (spoil_size, "is too large to be ours"),
        (spoil_pair, "is not the certificate of ca-key.pem"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_the_mend(
    tmp_path: Path, spoil: object, mend: str
) -> None:
    load(tmp_path)
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(StateUnusableError, match=mend):
        load(tmp_path)


def test_another_trust_domain_or_an_expired_root_is_refused(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.raises(StateUnusableError, match=r"is for the trust domain cluster.local, not b"):
        load(tmp_path, "b")
    with pytest.raises(StateUnusableError, match="has expired: remove it"):
        load(tmp_path, now=NOW + 4000 * DAY)


def test_a_folder_that_is_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusableError, match=r"/file(/state)?: (Not a directory|File exists)"):
        load(tmp_path / "file" / "state")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A full file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=8k", "none", place], check=True)
    (place / "state").mkdir()
    (place / "filler").write_bytes(bytes(4096))
    try:
        with (place / "filler").open("ab") as file:
            file.write(bytes(8192))
    except OSError:
        pass
    yield place
    subprocess.run(["/bin/umount", place], check=True)


@pytest.mark.netns  # it mounts: the private namespace has mounts of its own
def test_a_full_disk_is_an_error_that_says_so_and_leaves_nothing_half_done(
    small_disk: Path,
) -> None:
    state = small_disk / "state"
    with pytest.raises(StateUnusableError, match="No space left on device: make room on the disk"):
        load(state)
    assert {each.name for each in state.iterdir()} <= {".lock"}
    (small_disk / "filler").unlink()
    load(state)


def test_a_workloads_certificate_has_one_name_and_is_good_for_both_ends(tmp_path: Path) -> None:
    authority = load(tmp_path)
    leaf = workload_certificate(authority, WEB, KEY.public_key(), DAY, NOW)
    leaf.verify_directly_issued_by(authority.root)
    found = {type(each.value): each for each in leaf.extensions}
    names = found[x509.SubjectAlternativeName]
    assert names.critical
    assert list(names.value) == [x509.UniformResourceIdentifier(str(WEB))]
    roles = found[x509.ExtendedKeyUsage].value
    assert set(roles) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    basic = found[x509.BasicConstraints]
    assert (basic.critical, basic.value.ca) == (True, False)
    assert leaf.subject == x509.Name([])
    assert leaf.not_valid_before_utc == NOW - dt.timedelta(minutes=2)
    assert leaf.not_valid_after_utc == NOW + DAY
    again = workload_certificate(authority, WEB, KEY.public_key(), DAY, NOW)
    assert again.serial_number != leaf.serial_number


def test_no_certificate_outlives_the_root(tmp_path: Path) -> None:
    authority = load(tmp_path)
    late = authority.root.not_valid_after_utc - dt.timedelta(hours=1)
    leaf = workload_certificate(authority, WEB, KEY.public_key(), DAY, late)
    assert leaf.not_valid_after_utc == authority.root.not_valid_after_utc


def test_the_servers_certificate_has_its_names_and_no_identity(tmp_path: Path) -> None:
    names = server_names("mesh", "10.0.0.5")
    pair = server_key_pair(load(tmp_path), names, DAY, NOW)
    leaf = x509.load_pem_x509_certificate(pair.chain)
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"istiod.mesh.svc", "sluice-control.mesh.svc", "localhost"} <= set(
        san.get_values_for_type(x509.DNSName)
    )
    assert [str(ip) for ip in san.get_values_for_type(x509.IPAddress)] == [
        "127.0.0.1", "::1", "10.0.0.5",
    ]  # fmt: skip
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == []
    assert "PRIVATE" not in repr(pair)


def test_the_servers_certificate_is_renewed_at_half_its_life(tmp_path: Path) -> None:
    clock = [NOW]
    serving = ServingCertificate(load(tmp_path), ["localhost"], lambda: clock[0])
    first = serving.key_pair()
    clock[0] += DAY / 2 - dt.timedelta(seconds=1)
    assert serving.key_pair() is first
    clock[0] += dt.timedelta(seconds=1)
    second = serving.key_pair()
    assert second is not first
    assert serving.key_pair() is second
    clock[0] -= DAY  # a clock that was put back: a certificate of the future helps nobody
    assert serving.key_pair() is not second
