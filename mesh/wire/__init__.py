"""Codecs: octets to events and back, with no I/O."""
