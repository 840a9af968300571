"""The error of a user's input, which a command shows as one line instead of a traceback."""


class InputError(ValueError):
    """Something that a user gave: the message says what came, what was wanted and what to do."""
