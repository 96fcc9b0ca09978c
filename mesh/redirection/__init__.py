"""Which rules put a pod's traffic into the mesh: pure, since two programs apply them."""
