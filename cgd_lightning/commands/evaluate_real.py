"""The real images against which `cgd evaluate` measures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from cgd_lightning.commands.evaluate_eyes import Eyes
from cgd_lightning.commands.measuring import shown_bar
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import FeatureNetwork
from cgd_lightning.evaluation.kept import cache_folder, is_lasting
from cgd_lightning.evaluation.measure import MetricFactory
from cgd_lightning.evaluation.reference import Reference
from cgd_lightning.sampling.references import RealImages, read_moments, read_real


def reference_of(
    settings: Namespace, eyes: Eyes, shape: Sequence[int], data: Any, what: str = "samples"
) -> tuple[Reference, RealImages | None]:
    """(the reference, its images if not their moments alone are known).

    shape: (C, H, W) of `what` is compared with it. Raises InputError if there are none of it.
    """
    channels, height, width = shape
    wanted = (channels, height, width)
    real: RealImages | None
    if settings.reference is not None:
        path, names = Path(settings.reference), eyes.class_names(data)
        moments = read_moments(path, eyes.features)
        if moments is not None:
            return moments, None
        real = read_real(path, wanted, names, settings.resize)
    else:
        real = _test_images(settings, data, wanted, what, eyes.class_names(data))
    return real.seen_by(eyes.features, kept_in(settings, eyes.features), shown_bar(REAL)), real


REAL = "real images"


def _test_images(
    settings: Namespace,
    data: Any,
    shape: tuple[int, int, int],
    what: str,
    class_names: tuple[str, ...],
) -> RealImages:
    """The test images of `data`, whose labels count if they are of these classes."""
    if data is None:
        raise InputError(
            f"{settings.judge}: does not tell its data set; give it with --data, or real images "
            "with --reference"
        )
    if tuple(data.image_shape) != shape:
        raise InputError(
            f"--data {data.name}: images of shape {list(data.image_shape)}; the {what} are of "
            f"shape {list(shape)}"
        )
    from cgd_lightning.data.images import ChosenImages

    test = data.split("test")
    real = ChosenImages(test, len(test))
    labels = real.labels if tuple(data.class_names) == tuple(class_names) else None
    return RealImages(real, labels, f"test images of {data.name}")


def kept_in(settings: Namespace, features: FeatureNetwork) -> Path | None:
    """The folder in which what `features` sees in real images is kept; None for none."""
    return cache_folder() if not settings.no_cache and is_lasting(features) else None


def listed(metrics: Any) -> list[MetricFactory]:
    """One or several metrics, or none, as a list."""
    given = metrics if isinstance(metrics, list) else [metrics]
    return [metric for metric in given if metric is not None]
