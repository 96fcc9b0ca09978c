"""What control processes share: discovery, certificates, the state, the feeds to the workers."""
