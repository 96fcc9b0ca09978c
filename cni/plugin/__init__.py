"""The plugin that the agent installs: a program of its own, which nothing imports."""
