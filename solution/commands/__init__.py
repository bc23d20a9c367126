"""The command line in parts: what all verbs share, and the verbs that train and that translate. The others are in `solution.__main__`."""
