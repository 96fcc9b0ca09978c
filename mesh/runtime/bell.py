"""Waiting for "something has changed", without missing a change that came in between."""

import trio


class Bell:
    """Rung on each change; whoever waits looks again at what concerns it."""

    def __init__(self) -> None:
        """Not rung yet."""
        self.count = 0
        self._waiting = trio.lowlevel.ParkingLot()

    def ring(self) -> None:
        """Wake everybody."""
        self.count += 1
        self._waiting.unpark_all()

    async def wait_past(self, count: int) -> None:
        """Wait until it has been rung more than `count` times in all.

        Cancellation: nothing changes.
        """
        while self.count <= count:
            await self._waiting.park()
