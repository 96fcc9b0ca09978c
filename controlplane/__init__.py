"""The control plane: manifests in; workload API, certificates and statuses out."""
