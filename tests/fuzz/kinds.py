"""What is attacked, and how often."""

from importlib import import_module

from tests.fuzz.outcome import Kind

CASES = {
    "checkpoint": 5900,
    "record": 3000,
    "samples": 1900,
    "edits": 900,
    "weights": 1000,
    "kept": 500,
    "idx": 900,
    "pictures": 1200,
    "config": 600,
    "adm": 800,
    "diffusers": 700,
    "autoencoder": 400,
    "folders": 700,
    "latents": 400,
    "masks": 300,
    "references": 400,
    "steps": 100,
    "jobs": 300,
}
"""Cases of each kind in a whole run."""


def kind_called(name: str) -> Kind:
    """The kind of this name; only now are its readers imported."""
    kind: Kind = getattr(import_module(f"tests.fuzz.{name}"), name.capitalize())()
    return kind
