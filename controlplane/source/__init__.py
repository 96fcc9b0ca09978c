"""Where objects come from: each source hands over the whole of them after every change."""
