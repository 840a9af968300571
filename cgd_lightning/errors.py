"""The error of a user's input, which a command shows as one line instead of a traceback."""

LONGEST = 1_500


class InputError(ValueError):
    """Something that a user gave is wrong.

    The message says what came, what was wanted and what to do, in one line that can be printed.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(message: str) -> str:
    """`message` in one line.

    What cannot be printed stands there by its code; of what is too long the middle is left out.
    """
    words = " ".join(message.split())
    text = "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words[: 2 * LONGEST]
    )
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 4 :]}"


def one_line(error: BaseException, letters: int = 200) -> str:
    """An error's message in one line that can be printed, cut after so many letters."""
    return printable(str(error))[:letters]
