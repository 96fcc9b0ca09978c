"""Deciders: whether a connection may pass, and because of which policy."""
