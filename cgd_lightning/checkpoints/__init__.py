"""Checkpoints that know what they are, and are read as plain data."""

from cgd_lightning.checkpoints.autoencoders import hash_weights, latents_of
from cgd_lightning.checkpoints.card import (
    KINDS,
    Card,
    Model,
    a_kind,
    build,
    check_kind,
    describe,
)
from cgd_lightning.checkpoints.files import find_autoencoder, load, read, save, sizes, stored_config
from cgd_lightning.checkpoints.listed import Trust
from cgd_lightning.checkpoints.pairs import (
    check_judge,
    check_pair,
    check_shapes,
    check_space,
    find_classifier,
    find_judge,
)
from cgd_lightning.checkpoints.runs import (
    beside,
    find,
    find_partner,
    newest_first,
    paired,
    results_folder,
    versions,
)
from cgd_lightning.checkpoints.size import MOST_LAYERS, MOST_PARAMETERS, at_most

__all__ = [
    "KINDS",
    "MOST_LAYERS",
    "MOST_PARAMETERS",
    "Card",
    "Model",
    "Trust",
    "a_kind",
    "at_most",
    "beside",
    "build",
    "check_judge",
    "check_kind",
    "check_pair",
    "check_shapes",
    "check_space",
    "describe",
    "find",
    "find_autoencoder",
    "find_classifier",
    "find_judge",
    "find_partner",
    "hash_weights",
    "latents_of",
    "load",
    "newest_first",
    "paired",
    "read",
    "results_folder",
    "save",
    "sizes",
    "stored_config",
    "versions",
]
