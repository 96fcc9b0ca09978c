"""What operators see: access-log lines and traffic metrics, as values."""
