"""The CNI plugin, and the node agent that enrols pods."""
