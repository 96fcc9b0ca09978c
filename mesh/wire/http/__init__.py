"""HTTP messages, whatever carries them, and the HTTP/1.1 codec."""
