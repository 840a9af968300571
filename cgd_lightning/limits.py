"""How much may come from outside, where several rooms have to agree on it."""

MOST_PIXELS = 2**26
"""In an image."""

MOST_CLASSES = 100_000
"""In a data set."""
