"""What was asked of edits, in a line for their sheet."""

from cgd_lightning.sampling.request import Request


def heading_of(request: Request) -> str:
    """What was asked, for the sheet."""
    start = request.start
    assert start is not None
    source = f", from {_short(start.source)}" if start.source else ""
    to = f"to {_short(request.labels)}" if request.labels else "unguided"
    if request.labels is None and start.source:
        to = "to any other"
    scale = "" if request.strength is None else f", scale {request.strength:g}"
    rounds = "" if start.rounds == 1 else f", {start.rounds} rounds"
    shrinkage = f", shrinkage {start.shrinkage:g}" if start.shrinkage else ""
    return f"{to}{source}, strength {start.strength:g} by {start.by}{scale}{rounds}{shrinkage}"


def _short(text: str) -> str:
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    return "".join(letter if letter.isprintable() else "_" for letter in shown)
