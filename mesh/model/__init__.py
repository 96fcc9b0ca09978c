"""Values: what the mesh talks about. Frozen, slotted, with no behaviour that waits."""
