"""Samples of any origin, read to the end."""

from pathlib import Path
from typing import Any

from torch import Tensor

from cgd_lightning.sampling.sources import Samples, open_source


def read_source(path: Path, *how: Any, **options: Any) -> Samples[Tensor]:
    """As `open_source`, with all images in memory; what is damaged is met."""
    source = open_source(path, *how, **options)
    return Samples(source.images.read(), source.targets, source.ours, source.files)
