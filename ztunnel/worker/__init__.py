"""The worker process: listeners in every enrolled pod, and the bytes of their connections."""
