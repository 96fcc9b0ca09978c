"""Why a route or a policy cannot be used: stable words, which they carry to who meets them."""

from typing import Final

BACKEND_UNKNOWN: Final = "route_backend_unknown"
"""A route's backend is a Service, or a port of one, that does not exist: its share fails."""

BACKEND_KIND: Final = "route_backend_kind"
"""A route's backend is of a kind that requests cannot be sent to: its share fails."""

BACKEND_PROTOCOL: Final = "route_backend_protocol"
"""A route's backend speaks, by its port's appProtocol, what the route cannot: its share fails."""

FILTER_UNKNOWN: Final = "route_filter_unknown"
"""A route names a filter that does not exist: its requests are answered with 500."""

FILTER_KIND: Final = "route_filter_kind"
"""A route names a filter of a kind that is not known here: its requests are answered with 500."""

FILTER_FOREIGN: Final = "route_filter_foreign"
"""A route's filter is to run at another namespace's waypoint: requests are answered with 500."""

FILTER_SOURCE: Final = "route_filter_source"
"""A Filter has no source text, or its ConfigMap does not: requests are answered with 500."""

POLICY_UNREADABLE: Final = "policy_unreadable"
"""A policy of a waypoint has a field or a value that is not known: it refuses what it might."""

POLICY_PROVIDER: Final = "policy_provider_unknown"
"""A CUSTOM policy names a provider that cannot be asked: it refuses what it might."""
