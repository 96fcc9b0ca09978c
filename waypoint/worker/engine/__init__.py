"""From a request's head to its answer: routes, filters, backends, retries, connections."""
