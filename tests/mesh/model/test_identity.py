from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.model.identity import Identity, IdentityInvalidError

PARTS = st.text(ascii_lowercase + "-.", min_size=1)


@given(PARTS, PARTS, PARTS)
def test_what_is_written_can_be_read_again(domain: str, namespace: str, account: str) -> None:
    identity = Identity(domain, namespace, account)

    assert Identity.parse(str(identity)) == identity


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "cluster.local/ns/shop/sa/web",
        "https://cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop",
        "spiffe://cluster.local/ns/shop/sa/",
        "spiffe:///ns/shop/sa/web",
        "spiffe://cluster.local/ns//sa/web",
        "spiffe://cluster.local/ns/shop/sa/web/more",
        "spiffe://cluster.local/sa/shop/ns/web",
    ],
)
def test_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(IdentityInvalidError) as caught:
        Identity.parse(text)

    assert caught.value.text == text


def test_a_principal_is_the_identity_without_its_scheme() -> None:
    assert Identity("cluster.local", "shop", "web").principal == "cluster.local/ns/shop/sa/web"
