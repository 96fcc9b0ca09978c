from mesh.state.shards import Shards


def test_shards_are_a_dict_in_pieces() -> None:
    held: Shards[str, int] = Shards()
    for number in range(1000):
        held.put(str(number), number)
    assert len(held) == 1000
    assert "7" in held
    assert "x" not in held
    assert held.get("999") == 999
    assert held.get("x") is None
    assert held.setdefault("7", 0) == 7
    assert held.setdefault("x", 5) == 5
    assert held.pop("7") == 7
    assert held.pop("7") is None
    assert sum(held.values()) == sum(range(1000)) - 7 + 5


def test_no_piece_has_much_more_than_its_share() -> None:
    held: Shards[str, int] = Shards()
    for number in range(6400):
        held.put(f"Kubernetes//Pod/shop/web-{number}", number)
    assert max(len(piece) for piece in held.pieces) < 200
