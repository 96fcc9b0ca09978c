"""Objects in, workload API values out: pure, and at the price of what changed."""
