"""Array libraries that run the update rules in place."""
