"""Every draw that a way depends on, tried in turn: the same way is walked once for each."""

from dataclasses import dataclass

MOST_OF_ONE = 100
"""Values of one draw that are tried, evenly spread."""


@dataclass(slots=True)
class _Draw:
    among: int
    tried: int
    index: int = 0


class Draws:
    """A `Chance` that goes through its values instead of drawing one."""

    def __init__(self) -> None:
        """The first value of each."""
        self._draws: list[_Draw] = []
        self._at = 0

    def __call__(self, among: int) -> int:
        """The next number of this walk, from 0 to `among` - 1."""
        if self._at == len(self._draws):
            self._draws.append(_Draw(among, min(among, MOST_OF_ONE)))
        draw = self._draws[self._at]
        self._at += 1
        return draw.index * draw.among // draw.tried

    @property
    def share(self) -> float:
        """How likely the walk is that has just ended."""
        share = 1.0
        for draw in self._draws:
            share /= draw.tried
        return share

    def advance(self) -> bool:
        """Make ready for the next walk; False when there is none."""
        self._at = 0
        while self._draws:
            last = self._draws[-1]
            last.index += 1
            if last.index < last.tried:
                return True
            self._draws.pop()
        return False
