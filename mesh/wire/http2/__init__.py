"""HTTP/2 (RFC 9113) as a pure codec for both roles: octets in, events out, octets out."""
