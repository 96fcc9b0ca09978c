"""HTTP on the reactor: links, connections of both versions, and the streams of messages on them."""
