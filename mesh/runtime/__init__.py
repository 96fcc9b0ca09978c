"""Shells: everything that waits, listens, calls, or touches the kernel."""
