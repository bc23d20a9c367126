"""The command line, a file a topic."""
