"""Moving octets: plain functions on readiness, none of them a trio task.

A trio task for each direction costs 150 to 190 us per small request; the reactor costs a third of
that (docs/performance.md). trio owns everything else: accept, handshakes, deadlines, cancellation.

- `reactor` tells a function that its descriptor is ready;
- `inner` holds the two loops that touch OpenSSL: the seam for a compiled twin;
- `plain` joins two sockets;
- `stream` joins a socket and an HTTP/2 stream.
"""
