"""grpcio's synchronous API on its own threads, bridged to trio. Nobody else imports it."""
