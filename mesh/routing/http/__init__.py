"""Where a request goes: routes in order of precedence, and what their filters make of a head."""
