"""Users' filters: a process that runs them, and the worker's end of the talk with it."""
