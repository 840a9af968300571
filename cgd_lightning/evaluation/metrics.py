"""Numbers about samples, from features: tensors in, floats out."""

import torch
from torch import Tensor

from cgd_lightning.errors import InputError


def accuracy(predicted: Tensor, asked: Tensor) -> float:
    """Share of the images, 0 to 1, whose predicted class (N,) is the one asked for (N,)."""
    return (predicted == asked).double().mean().item()


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Frechet distance, at least 0, between Gaussians fitted to features of real (N, d) and
    generated (M, d) images.

        |mean_r - mean_f|^2 + tr(cov_r + cov_f - 2 (cov_r cov_f)^(1/2))

    Heusel et al. 2017 (arXiv:1706.08500), eq. 6, there on features of an Inception network; on
    others it is called FID-lite, and its values compare only where features, reference and numbers
    of images are the same. In float64. Raises ValueError for fewer than two images of either.
    """
    if min(len(real), len(fake)) < 2:
        raise InputError(
            f"{len(real)} real and {len(fake)} generated images: a Frechet distance needs at least "
            "2 of each"
        )
    real, fake = real.double(), fake.double()
    cov_real, cov_fake = torch.atleast_2d(real.T.cov()), torch.atleast_2d(fake.T.cov())
    values, vectors = torch.linalg.eigh(cov_real)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # The eigenvalues of cov_r cov_f are those of this symmetric matrix.
    cross = torch.linalg.eigvalsh(root @ cov_fake @ root).clamp(min=0).sqrt().sum()
    distance = (
        (real.mean(0) - fake.mean(0)).square().sum()
        + cov_real.trace()
        + cov_fake.trace()
        - 2 * cross
    )
    return max(distance.item(), 0.0)


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall, each 0 to 1, from features of real (N, d) and generated (M, d)
    images.

    Precision is the share of generated images that lie within the manifold of the real ones: closer
    to some real image than that one's k-th nearest real neighbour. Recall is the same with the
    roles exchanged. Kynkaanniemi et al. 2019 (arXiv:1904.06991), eq. 1 and 2. Raises ValueError if
    there are not more than k of either.
    """
    if min(len(real), len(fake)) <= k:
        raise InputError(
            f"{len(real)} real and {len(fake)} generated images: precision and recall with k = {k} "
            f"need more than {k} of each"
        )
    real, fake = real.double(), fake.double()
    return _covered(fake, real, k), _covered(real, fake, k)


def _covered(queries: Tensor, support: Tensor, k: int, rows: int = 1024) -> float:
    radius = torch.cat(
        [torch.cdist(part, support).kthvalue(k + 1).values for part in support.split(rows)]
    )
    inside = [(torch.cdist(part, support) <= radius).any(dim=1) for part in queries.split(rows)]
    return torch.cat(inside).double().mean().item()
