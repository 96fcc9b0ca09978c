"""Answers of servers, kept as long as their records say, for one pod.

One pod's answers are never another's: their servers may tell them different things, and a pod that
manages to have a wrong one kept has fooled itself.
"""

from collections import OrderedDict
from typing import Final

from mesh.wire.dns import Question, aged, lifetime, with_id

MOST_ANSWERS: Final = 512
MOST_OCTETS: Final = 4096
"""Larger answers are not kept, so that a pod's memory is bounded."""
MOST_SECONDS: Final = 3600
_ID_OCTETS: Final = 2

Kept = tuple[float, bytes, int, tuple[int, ...]]


class Cache:
    """The same query (apart from its id) gets the same answer, with less time to live."""

    def __init__(self, most_answers: int = MOST_ANSWERS) -> None:
        """Know nothing."""
        self._most = most_answers
        self._answers: OrderedDict[tuple[bytes, bool], Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, query: bytes, now: float, *, is_stream: bool) -> bytes | None:
        """The answer to a query, if there is one that still holds.

        Args:
            query: the message.
            now: seconds, of the same clock as `keep`.
            is_stream: whether it came over TCP: answers over UDP may be shorter.
        """
        key = query[_ID_OCTETS:], is_stream
        kept = self._answers.get(key)
        if kept is None:
            return None
        since, response, seconds, places = kept
        if now >= since + seconds:
            del self._answers[key]
            return None
        self._answers.move_to_end(key)
        return with_id(aged(response, places, int(now - since)), int.from_bytes(query[:2]))

    def keep(
        self, query: bytes, question: Question, response: bytes, now: float, *, is_stream: bool
    ) -> None:
        """Remember a server's answer, if it may be."""
        if len(response) > MOST_OCTETS or len(query) > MOST_OCTETS:
            return
        how_long = lifetime(response, question)
        if seconds := min(how_long.seconds, MOST_SECONDS):
            key = query[_ID_OCTETS:], is_stream
            self._answers[key] = now, response, seconds, how_long.places
            self._answers.move_to_end(key)
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
