"""The error a user caused and can mend; every other exception is a defect of ours."""


class InputError(ValueError):
    """Bad input: one line that names the file, the key or column, the value, and what to do.

    Entry points print the line and exit with status 2; nothing has been half written.
    """
