"""What is attacked, and how often."""

from importlib import import_module

from tests.fuzz.outcome import Kind

CASES = {
    "checkpoint": 8000,
    "record": 4000,
    "samples": 2300,
    "edits": 900,
    "weights": 1200,
    "kept": 600,
    "idx": 1000,
    "pictures": 1400,
    "config": 600,
}
"""Cases of each kind in a whole run."""


def kind_called(name: str) -> Kind:
    """The kind of this name; only now are its readers imported."""
    kind: Kind = getattr(import_module(f"tests.fuzz.{name}"), name.capitalize())()
    return kind
