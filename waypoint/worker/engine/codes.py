"""Codes of decisions that only the waypoint itself makes, each with its meaning below it."""

from typing import Final

EXTENSION_MISSING: Final = "route_extension_missing"
"""A route wants a filter of a user's that the waypoint does not have: 500."""

FILTER_CONFIG_INVALID: Final = "route_filter_config_invalid"
"""A filter's `spec.config` reached the waypoint in a form that cannot be read: 500."""

ROUTE_UNREADABLE: Final = "route_unreadable"
"""A route that this waypoint cannot make sense of: whatever it is for is answered with 500."""
