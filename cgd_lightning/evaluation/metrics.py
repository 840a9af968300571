"""Numbers about samples, from features: tensors in, floats out."""

import torch
from torch import Tensor

from cgd_lightning.errors import InputError


def accuracy(predicted: Tensor, asked: Tensor) -> float:
    """Share of the images, 0 to 1, whose predicted class (N,) is the one asked for (N,)."""
    return (predicted == asked).double().mean().item()


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall, each 0 to 1, from features of real (N, d) and generated (M, d) images.

    Precision is the share of generated images that lie within the manifold of the real ones: closer to some real image than that one's
    k-th nearest real neighbour. Recall is the same with the roles exchanged. Kynkaanniemi et al. 2019 (arXiv:1904.06991), eq. 1 and 2.
    Raises ValueError if there are not more than k of either.
    """
    if min(len(real), len(fake)) <= k:
        raise InputError(f"{len(real)} real and {len(fake)} generated images: precision and recall with k = {k} need more than {k} of each")
    real, fake = real.double(), fake.double()
    return _covered(fake, real, k), _covered(real, fake, k)


def _covered(queries: Tensor, support: Tensor, k: int, rows: int = 1024) -> float:
    radius = torch.cat([torch.cdist(part, support).kthvalue(k + 1).values for part in support.split(rows)])
    inside = [(torch.cdist(part, support) <= radius).any(dim=1) for part in queries.split(rows)]
    return torch.cat(inside).double().mean().item()
