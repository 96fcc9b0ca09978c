"""What the mesh looks like: workloads, services and policies, indexed."""
