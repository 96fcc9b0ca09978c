"""Messages with Istio's packages, names and numbers; the `_pb2` files are made by `make proto`."""
