"""Invariant: any text gives an identity that reads as itself again, or an IdentityInvalidError."""

from mesh.model.identity import Identity, IdentityInvalidError

SEEDS = (b"spiffe://cluster.local/ns/shop/sa/web", b"spiffe://a/ns//sa/", b"https://a/ns/b/sa/c")


def one_input(octets: bytes) -> None:
    """Parse the octets as a peer's URI."""
    try:
        identity = Identity.parse(octets.decode("latin-1"))
    except IdentityInvalidError:
        return
    if Identity.parse(str(identity)) != identity:
        raise AssertionError(f"{identity!r} is not what was read")
