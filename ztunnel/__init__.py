"""The node proxy: L4, one per node."""
