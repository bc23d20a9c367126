"""The one exception that users see: a sentence that names the file and the mend."""


class InputError(ValueError):
    """Bad input. The command line prints the message alone and exits with code 2."""
