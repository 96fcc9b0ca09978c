"""The `sluice` command, and the lab: a whole mesh on one machine."""
