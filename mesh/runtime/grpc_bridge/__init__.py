"""grpcio's synchronous API on threads of its own, and the bridge to trio. Nobody else imports it."""
