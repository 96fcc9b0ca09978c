"""A program of several processes: its supervisor, and what supervisor and control process say."""
