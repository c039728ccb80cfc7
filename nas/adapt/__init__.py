"""`nas adapt`, for Python: settings, the run itself, and trials with their weights."""
