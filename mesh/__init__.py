"""The ground floor: what every program of the mesh shares."""
