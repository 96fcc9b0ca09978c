"""Messages of the echo services that other people's clients call; the code is generated."""
