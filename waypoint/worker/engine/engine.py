"""The engine of a worker: connections come in with who calls what, and everything else follows.

1. A port's protocol is what its routes are for; else what the service says; else what the client's
   first octets say, and when it says nothing for a while, TCP.
2. HTTP is spoken in the version that the client begins with, whatever the port says.
"""
