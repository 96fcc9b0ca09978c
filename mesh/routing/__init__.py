"""Deciders: where a connection goes."""
