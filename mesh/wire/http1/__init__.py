"""HTTP/1.1 (RFC 9112), both roles: strict readers around `httptools`, and what is written."""
