"""Programs under test: this library's own executors, and others when they are installed."""
