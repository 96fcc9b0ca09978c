"""The waypoint: an L7 proxy that applies Gateway API routes."""
