"""What an echo writes down: a line each, whole even when many threads write."""

import os


def note(line: str) -> None:
    """Write a line to the standard output."""
    os.write(1, line.encode(errors="replace") + b"\n")


def note_request(target: str, client: str) -> None:
    """Write down a request; tests of mirrors search for this line."""
    note(f"Echoing back request made to {target} to client ({client})")
