"""The worker: requests come in by the tunnel, are routed, and go on."""
