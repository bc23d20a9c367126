"""The command line, a file a topic. A verb reads its arguments, calls a room below, and prints."""
