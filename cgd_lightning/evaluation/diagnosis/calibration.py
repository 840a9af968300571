"""How often a classifier is right, and whether its probabilities mean what they say.

    cross-entropy   mean of -log p(y | x_t); log K of a classifier that knows nothing
    ECE             sum over bins of confidence: share of the images * |accuracy - confidence|
    temperature     the T at which softmax(logits / T) has the least cross-entropy

ECE and temperature: Guo et al. 2017 (arXiv:1706.04599), eq. 3 and section 4.2. A temperature above
1 says that the classifier is too sure of itself by that factor; then so is its gradient too long.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15
COLDEST, HOTTEST = 0.02, 50.0
"""Between these a temperature is looked for."""


@dataclass(frozen=True)
class Calibration:
    """Of the images at one noise level.

    tempered: the cross-entropy at the fitted temperature. recall: per class, nan of a class without
    images. probability: the mean one of every class.
    """

    accuracy: float
    cross_entropy: float
    ece: float
    temperature: float
    tempered: float
    recall: tuple[float, ...]
    probability: tuple[float, ...]


def calibration(log_p: Tensor, labels: Tensor) -> Calibration:
    """Of log p(y | x_t) of every class (N, K) and the true classes (N,), both on the host."""
    log_p = log_p.double()
    hits = (log_p.argmax(dim=1) == labels).double()
    temperature, tempered = fitted_temperature(log_p, labels)
    return Calibration(
        hits.mean().item(),
        cross_entropy(log_p, labels),
        expected_calibration_error(log_p, labels),
        temperature,
        tempered,
        tuple(confusion(log_p, labels).diagonal().tolist()),
        tuple(log_p.exp().mean(dim=0).tolist()),
    )


def cross_entropy(log_p: Tensor, labels: Tensor, temperature: float = 1.0) -> float:
    """Mean of -log p of the true class, in nats, at a temperature."""
    if temperature != 1:
        log_p = (log_p / temperature).log_softmax(dim=1)
    return -log_p.gather(1, labels[:, None]).mean().item()


def confusion(log_p: Tensor, labels: Tensor) -> Tensor:
    """(K, K): the share of the images of each class, a row, that is taken for each, a column.

    The row of a class without images is nan.
    """
    classes = log_p.shape[1]
    pairs = labels * classes + log_p.argmax(dim=1)
    counts = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).double()
    return counts / counts.sum(dim=1, keepdim=True)


def expected_calibration_error(log_p: Tensor, labels: Tensor) -> float:
    """Mean distance of accuracy and confidence over bins of equal width of the confidence."""
    confidence, predicted = log_p.exp().max(dim=1)
    gap = (predicted == labels).double() - confidence
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    sums = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins, gap)
    return sums.abs().sum().item() / len(labels)


def fitted_temperature(log_p: Tensor, labels: Tensor) -> tuple[float, float]:
    """The temperature of least cross-entropy, and that cross-entropy.

    The cross-entropy is convex in 1/T, so that halving the interval of its slope's zero finds it.
    """
    log_p = log_p.double()
    inverse_low, inverse_high = 1 / HOTTEST, 1 / COLDEST
    true = log_p.gather(1, labels[:, None])[:, 0].mean()
    for _ in range(40):
        inverse = (inverse_low * inverse_high) ** 0.5
        expected = ((inverse * log_p).softmax(dim=1) * log_p).nan_to_num().sum(dim=1).mean()
        if expected > true:
            inverse_high = inverse
        else:
            inverse_low = inverse
    return 1 / inverse, cross_entropy(log_p, labels, 1 / inverse)
