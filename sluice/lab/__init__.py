"""The lab: nodes and pods as network namespaces of this machine, with the real mesh in them."""
