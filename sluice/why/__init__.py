"""`sluice why`: what would happen to a connection, hop by hop, by the proxies' own evaluators."""
