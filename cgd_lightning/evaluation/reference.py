"""Real images as a feature network sees them: what generated images are compared with.

    reference = reference_of(features, images, labels, "test images of digits")
    measure = Measure(features, reference)

The network looks at them once; what it saw is kept on the disk (`kept`), under the hash of the
images and of the network.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import LARGEST, Bar, FeatureNetwork
from cgd_lightning.evaluation.kept import read_kept, write_kept
from cgd_lightning.streams import BATCH, Images


@dataclass(frozen=True, eq=False)
class Reference:
    """What is known of `n` real images.

    name: what they are, for reports. hash: of the images and their classes. features: (n, d) or
    None, where only the moments are known. logits: (n, K) or None. labels: their classes (n,) or
    None. moments: mean (d,) and covariance (d, d) of the features, in float64, where these are all
    that is known; there is nothing then but the Frechet distance.
    """

    name: str
    hash: str
    n: int
    features: Tensor | None = None
    logits: Tensor | None = None
    labels: Tensor | None = None
    moments: tuple[Tensor, Tensor] | None = None

    @property
    def width(self) -> int:
        """The number d of features."""
        if self.features is not None:
            return self.features.shape[1]
        assert self.moments is not None
        return len(self.moments[0])


def reference_of(
    features: FeatureNetwork,
    images: Images,
    labels: Tensor | None = None,
    name: str = "real images",
    keep: Path | None = None,
    bar: Bar = iter,
) -> Reference:
    """`images`, uint8 (R, C, H, W), of classes `labels` (R,), as `features` sees them.

    keep: a folder in which it is kept what the network saw, and looked up before it looks again.
    Raises InputError if what is kept there is of other images or is damaged, or if a feature is not
    a finite number.
    """
    own = hash_of(images, labels)
    seen = None if keep is None else read_kept(keep, own, features.hash, len(images))
    if seen is None:
        seen = features(images, bar, name)
        if keep is not None:
            write_kept(keep, own, features.hash, seen)
    logits = seen.logits if seen.logits.shape[1] else None
    return Reference(name, own, len(images), seen.features, logits, labels)


def reference_of_moments(mean: Tensor, cov: Tensor, n: int, name: str) -> Reference:
    """A reference of which the mean (d,) and covariance (d, d) of `n` images are known alone.

    Raises InputError if they are not of such shapes, not finite, or if the covariance is none.
    """
    d = len(mean) if mean.ndim == 1 else 0
    if not d or cov.shape != (d, d):
        raise InputError(
            f"{name}: a mean of shape {list(mean.shape)} and a covariance of shape "
            f"{list(cov.shape)}; wanted [d] and [d, d]"
        )
    mean, cov = mean.double(), cov.double()
    if not (mean.isfinite().all() and cov.isfinite().all()):
        raise InputError(f"{name}: its mean or its covariance is not finite")
    if not torch.allclose(cov, cov.T) or (cov.diagonal() < 0).any():
        raise InputError(f"{name}: its covariance is not symmetric with a diagonal from 0")
    if not (max(mean.abs().max(), cov.abs().max()) < LARGEST and 0 <= n < 2**53):
        raise InputError(f"{name}: numbers above {LARGEST:g}, or of {n} images")
    values = torch.linalg.eigvalsh(cov)
    if values[0] < -1e-6 * values[-1]:
        raise InputError(f"{name}: its covariance has the negative eigenvalue {values[0]:.3g}")
    return Reference(name, hash_of(torch.cat([mean[None], cov])), n, moments=(mean, cov))


def hash_of(images: Images, labels: Tensor | None = None) -> str:
    """The first 16 digits of the SHA-256 of images and of their classes."""
    digest = hashlib.sha256()
    for rows in (images, labels):
        if rows is not None:
            dtype = rows.dtype if isinstance(rows, Tensor) else torch.uint8
            digest.update(f"{tuple(rows.shape)} {dtype}".encode())
            for part in rows.split(BATCH):
                digest.update(part.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
