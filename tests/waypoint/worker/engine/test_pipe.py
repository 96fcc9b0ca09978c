"""Content in a pipe of filters: one piece at a time, and credit only for what has gone on."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.http.messages import Fields
from waypoint.filters.messages import MAX_PIECE_OCTETS
from waypoint.worker.engine.pipe import Changed, Pipe


class Around:
    """A pipe whose filters answer when the test says, to a receiver that may be full."""

    def __init__(self, *names: str) -> None:
        self.pipe = Pipe(list(names), self.change, self.take, self.ended, self.credits_of)
        self.asked: list[tuple[str, bytes, bool, Changed]] = []
        self.taken = bytearray()
        self.credit = 0
        self.trailers: Fields | None = None
        self.is_full = False

    def change(self, name: str, piece: bytes, last: bool, then: Changed) -> None:
        self.asked.append((name, piece, last, then))

    def take(self, piece: bytes) -> None:
        self.taken += piece
        if not self.is_full:
            self.pipe.settle()

    def ended(self, trailers: Fields) -> None:
        self.trailers = trailers

    def credits_of(self, octets: int) -> None:
        self.credit += octets

    def answer(self, changed: bytes | None = None) -> None:
        _, piece, _, then = self.asked.pop(0)
        then(piece if changed is None else changed)


def test_one_piece_is_under_way_and_the_next_ones_are_put_together() -> None:
    it = Around("f")
    it.pipe.open()
    for _ in range(10):
        it.pipe.feed(b"x" * 10_000)
    assert [len(piece) for _, piece, _, _ in it.asked] == [10_000]
    assert it.credit == 0
    it.answer()
    assert [len(piece) for _, piece, _, _ in it.asked] == [MAX_PIECE_OCTETS]
    assert it.credit == 10_000
    it.answer()
    it.pipe.end([(b"x-sum", b"1")])
    assert it.trailers is None
    it.answer()
    assert [(len(piece), last) for _, piece, last, _ in it.asked] == [(0, True)]
    it.answer(b"end")
    assert it.taken == b"x" * 100_000 + b"end"
    assert it.trailers == [(b"x-sum", b"1")]
    assert it.credit == 100_000


def test_the_last_piece_says_so_when_that_is_known() -> None:
    it = Around("f", "g")
    it.pipe.feed(b"abc")
    it.pipe.end([])
    assert not it.asked
    it.pipe.open()
    assert [(name, piece, last) for name, piece, last, _ in it.asked] == [("f", b"abc", True)]
    it.answer(b"ABC")
    assert [(name, piece, last) for name, piece, last, _ in it.asked] == [("g", b"ABC", True)]
    it.answer()
    assert it.trailers == []


def test_what_is_swallowed_does_not_pay_for_what_a_full_receiver_has_not_taken() -> None:
    it = Around("f")
    it.pipe.open()
    it.is_full = True
    it.pipe.feed(b"x" * 100)
    it.answer()
    it.pipe.feed(b"y" * 100)
    it.answer(b"")
    assert it.credit == 0
    it.is_full = False
    it.pipe.settle()
    assert it.credit == 200
    it.pipe.feed(b"z" * 7)
    it.answer(b"")
    assert it.credit == 207


def test_what_was_credited_before_is_not_credited_again() -> None:
    it = Around("f")
    it.pipe.begin(b"x" * 100, 30)
    it.pipe.open()
    it.answer()
    assert it.credit == 70


def test_a_pipe_that_is_closed_owes_nothing() -> None:
    it = Around("f")
    it.pipe.begin(b"x" * 100, 30)
    it.pipe.open()
    it.pipe.feed(b"y" * 50)
    it.pipe.close()
    assert it.credit == 120
    it.answer()
    assert it.credit == 120


@given(
    st.lists(st.binary(max_size=5) | st.none(), max_size=20),
    st.sampled_from([(), ("f",), ("f", "g")]),
)
def test_whatever_the_order_of_pieces_and_answers_all_goes_through_once(
    steps: list[bytes | None], names: tuple[str, ...]
) -> None:
    it = Around(*names)
    it.pipe.open()
    for step in steps:
        if step is not None:
            it.pipe.feed(step)
        elif it.asked:
            it.answer()
    it.pipe.end([])
    while it.asked:
        it.answer()
    whole = b"".join(step for step in steps if step is not None)
    assert it.taken == whole
    assert it.credit == len(whole)
    assert it.trailers == []
