"""Any optimizer in place: its step is recorded once, compiled by a backend, and run."""
