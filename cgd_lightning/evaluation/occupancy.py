"""The variance of the number of places that independent visitors reach, from one sample of them.

    var = sum_k (-1)^(k+1) sum_{|S| = k} c_S^2  -  sum_{i != j} c_i c_j / (n - 1)

c_S is the number of places that the visitors in S reach and no other does. For a Poisson number of
visitors the first term has the right mean: two places that share a visitors on average are both
empty with e^a times the chance of places that share none, and sum_k (-1)^(k+1) a^k / k! e^-a is
e^-a - e^-2a. (Last and Penrose 2011, "Poisson process Fock space representation, chaos expansion
and covariance inequalities", theorem 1.1: the orders are the terms of all k.) The second makes
their number n. Order 1 is the jackknife, order 2 its correction (Efron and Stein 1981).

High orders are weighed down, as they add noise and next to no variance: each by the chance that of
`ORDERS` tosses of a coin k or more are heads (Efron and Thisted 1976, "Estimating the number of
unseen species", section 5).
"""

import math

import torch
from torch import Tensor

ORDERS = 5
"""Places with more visitors than this do not count."""


def marks(n: int) -> Tensor:
    """Numbers (n, 2) of visitors, whose sums tell sets of them apart: 1, and random ones.

    In float64 the sums over `ORDERS` visitors are exact.
    """
    generator = torch.Generator().manual_seed(0)
    random = torch.randint(2**48, (n,), generator=generator)
    return torch.stack([torch.ones_like(random), random], dim=1).double()


def reached_variance(visitors: Tensor, n: int) -> tuple[float, float]:
    """(variance from 0, its degrees of freedom) of the share of M places that `n` visitors reach.

    visitors: of each place the sum of the `marks` of its visitors, (M, 2). The degrees of freedom
    are Satterthwaite's (1946), of terms as of independent sets.
    """
    some = visitors[(visitors[:, 0] > 0) & (visitors[:, 0] <= ORDERS)]
    sets, counts = some.unique(dim=0, return_counts=True)
    tosses = [math.comb(ORDERS, k) / 2**ORDERS for k in range(ORDERS + 1)]
    weights = [0.0, *((-1) ** (k + 1) * sum(tosses[k:]) for k in range(1, ORDERS + 1))]
    orders = torch.tensor(weights, dtype=torch.float64)[sets[:, 0].long().cpu()]
    terms = orders * counts.cpu().double().square()
    single = counts[sets[:, 0] == 1].double()
    pairs = single.sum() ** 2 - single.square().sum()
    total = max(0.0, terms.sum().item() - pairs.item() / (n - 1))
    noise = terms.square().sum().item()
    degrees = 2 * total**2 / noise if noise else 0.0
    return total / len(visitors) ** 2, degrees
