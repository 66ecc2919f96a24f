"""The command line, a file a command; those of many runs share `jobs`."""
