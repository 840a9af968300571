"""Whether a network's weights look as if they were drawn at random.

The singular values of an (m, n) matrix of independent entries with variance v end at

    sqrt(v) (sqrt(m) + sqrt(n)),

the edge of Marchenko and Pastur 1967 (doi:10.1070/SM1967v001n04ABEH001994). Training adds a few
directions that stand out of it: Martin and Mahoney 2021 (arXiv:1810.01075), section 3.
"""

import torch
from torch import Tensor, nn

SMALLEST = 8
"""Rows and columns of a matrix that is looked at."""


def largest_outlier(network: nn.Module) -> float | None:
    """The largest singular value of all weight matrices, as a multiple of the random edge.

    About 1 where all entries are drawn independently. None if no matrix is large enough.
    """
    found = [_outlier(weight.detach().flatten(1)) for weight in _matrices(network)]
    return max(found) if found else None


def _matrices(network: nn.Module) -> list[Tensor]:
    return [
        weight
        for weight in network.parameters()
        if weight.ndim >= 2
        and min(weight.shape[0], weight[0].numel()) >= SMALLEST
        and bool(weight.any())
    ]


def _outlier(matrix: Tensor) -> float:
    centred = (matrix - matrix.mean()).cpu().double()
    rows, columns = centred.shape
    edge = centred.std() * (rows**0.5 + columns**0.5)
    return (torch.linalg.svdvals(centred)[0] / edge).item() if edge > 0 else 1.0
