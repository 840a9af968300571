"""A number of a setting, as text that means this number and no other."""


def exact(number: float) -> str:
    """The shortest decimals that are `number` again: 2, 0.5, 1.23456789."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)
