"""What workers share: accepting, dialling, credentials, tunnels and requests on them."""
