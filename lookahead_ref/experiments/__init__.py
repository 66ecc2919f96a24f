"""The experiments of the paper, and the main comparison: settings in, a run folder out."""
