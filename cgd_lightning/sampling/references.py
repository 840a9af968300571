"""References of any origin: images as `sources` reads them, or ADM's statistics of features.

    mu (d,), sigma (d, d)        mean and covariance of the features of real images, in an npz

ADM (Dhariwal and Nichol 2021, arXiv:2105.05233) publishes such files for Inception features. Ours
also say of how many images they are, and what network saw these.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgd_lightning.arrays import Arrays, open_arrays
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.evaluation.features import Bar, FeatureNetwork
from cgd_lightning.evaluation.reference import Reference, reference_of, reference_of_moments
from cgd_lightning.files import open_plain, whole
from cgd_lightning.sampling.sources import Shape, open_source
from cgd_lightning.sampling.stored import DAMAGE
from cgd_lightning.streams import Images

MOST_WIDTH = 2**14
"""Of features whose covariance is read."""


def read_reference(
    path: Path,
    features: FeatureNetwork,
    image_shape: Shape | None = None,
    class_names: Sequence[str] = (),
    resize: bool = False,
    keep: Path | None = None,
    bar: Bar = iter,
) -> Reference:
    """The real images at `path`, or the statistics of some, as `features` sees them.

    image_shape, class_names, resize: as `open_source` takes them. keep, bar: as `reference_of`
    does. Raises InputError if there are none, and for statistics of other features.
    """
    moments = read_moments(path, features)
    if moments is not None:
        return moments
    return read_real(path, image_shape, class_names, resize).seen_by(features, keep, bar)


@dataclass(frozen=True, eq=False)
class RealImages:
    """uint8 images (R, C, H, W), their classes (R,) where these are known, and what they are."""

    images: Images = field(repr=False)
    labels: Tensor | None = field(repr=False)
    name: str

    def seen_by(
        self, features: FeatureNetwork, keep: Path | None = None, bar: Bar = iter
    ) -> Reference:
        """What `features` sees in them; keep, bar: as `reference_of` takes them."""
        return reference_of(features, self.images, self.labels, self.name, keep, bar)


def read_real(
    path: Path, image_shape: Shape | None, class_names: Sequence[str], resize: bool
) -> RealImages:
    """The real images at `path`, as `open_source` finds them."""
    real = open_source(path, image_shape, class_names, "--reference", resize)
    plain = real.targets is not None and all(isinstance(t, int) for t in real.targets)
    labels = torch.tensor(real.targets) if plain else None
    return RealImages(real.images, labels, f"images of {path}")


def write_reference(path: Path, reference: Reference, features: FeatureNetwork) -> None:
    """Write mean and covariance of a reference in ADM's convention, so that its evaluator reads it.

    Raises InputError if it has too few images for a covariance.
    """
    if reference.moments is None:
        if reference.n < 2 or reference.features is None:
            raise InputError(f"--write_reference {path}: a covariance needs at least 2 images")
        x = reference.features.double()
        mean, cov = x.mean(dim=0), x.T.cov()
    else:
        mean, cov = reference.moments
    with whole(path) as unfinished, unfinished.open("wb") as file:
        np.savez(
            file,
            mu=mean.numpy(),
            sigma=cov.numpy(),
            n=np.array([reference.n]),
            features=np.frombuffer(features.hash.encode(), np.uint8),
        )


def read_moments(path: Path, features: FeatureNetwork) -> Reference | None:
    """The statistics in `path`; None if that is no npz, or one that holds images.

    Raises InputError for what cannot be read, and for statistics of other features.
    """
    if path.suffix != ".npz" or not path.is_file():
        return None
    try:
        with open_plain(path.resolve()) as file, open_arrays(file) as arrays:
            if "arr_0" in arrays:
                return None
            if "mu" not in arrays or "sigma" not in arrays:
                raise InputError("wanted the array arr_0 of images, or mu and sigma of features")
            mean, cov = (_read_floats(arrays, name) for name in ("mu", "sigma"))
            n = int(_read_small(arrays, "n")[0]) if "n" in arrays else 0
            seen_by = _read_small(arrays, "features").tobytes() if "features" in arrays else None
    except InputError as error:
        raise InputError(f"--reference {path}: {error}") from error
    except (*DAMAGE, struct.error) as error:
        why = one_line(error) or type(error).__name__
        raise InputError(f"--reference {path}: cannot be read ({why})") from error
    if seen_by is not None and seen_by != features.hash.encode():
        raise InputError(
            f"--reference {path}: statistics of features of another network, of hash "
            f"{seen_by[:32].decode('ascii', 'replace')}; {features.name} is {features.hash}; give "
            "--features, or --judge, that made them"
        )
    return reference_of_moments(mean, cov, max(n, 0), f"--reference {path}")


def _read_floats(arrays: Arrays, name: str) -> Tensor:
    shape, dtype = arrays.header(name)
    if dtype.kind != "f" or len(shape) not in (1, 2) or max(shape) > MOST_WIDTH:
        raise InputError(
            f"{name} is {dtype} of shape {list(shape)}; wanted floats, at most {MOST_WIDTH} wide"
        )
    return torch.from_numpy(arrays.read(name).astype(np.float64))


def _read_small(arrays: Arrays, name: str) -> np.ndarray:
    shape, dtype = arrays.header(name)
    if dtype.kind not in "iu" or len(shape) != 1 or shape[0] > 100:
        raise InputError(f"{name} is {dtype} of shape {list(shape)}; wanted few whole numbers")
    return arrays.read(name)
