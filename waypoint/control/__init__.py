"""The control process: discovery, the certificate, the workers' feeds, the pages."""
