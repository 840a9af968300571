"""Faults in how a classifier takes noise: blind to it, or trained on another schedule of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from cgd_lightning.evaluation.diagnosis.calibration import cross_entropy, fitted_temperature
from cgd_lightning.evaluation.diagnosis.evidence import KNOWS, Evidence, Fault, entropy

WORSE = 0.15
"""Of the entropy of the classes: at a level with so much more cross-entropy it is of no use."""

LOST = 0.07
"""Of the entropy of the classes: so much is lost at a level both by what a blind classifier does
not see there, against the class means, and by how sure it is all the same. Good ones lose at most
0.03, those that were trained on clean images 0.13 and more."""

MUCH_WORSE = 0.25
"""The same as `WORSE`, on average over all noisier levels: that of a good one is at most 0.1."""

LESS_TOLD = 0.08
"""Of the entropy of the classes: so much less than the means tells nobody who is told rightly. Such
ones lacked at most 0.06; those that were trained on clean images, told the timesteps of
VarianceExploding (which does not shrink the image, as theirs were not), 0.12 and more."""

BETTER = 0.002
"""Of the entropy of the classes: the least that it gains where it is told the level rightly. Of
good ones of digits and MNIST, no other telling gained more than 0.0004; of those with another
schedule, the right one gained 0.0034 and more."""

SURE = 3.0
"""Standard errors of that gain."""

VARIES = 0.1
"""Of the error of the gain at one temperature: a lower one at the best of each level is none."""

SHIFTED = "log SNR "
"""How the names of tellings begin that are no schedule."""


@dataclass(frozen=True)
class Blindness:
    """How much worse than the class means a classifier is, the more noise there is.

    useless: places of the levels at which it is of no use, its confidence being wrong. blind:
    whether it is a classifier that does not know noise at all. less: what it tells less than the
    class means at its own best temperature, at the worst level, of the entropy of the classes.
    """

    useless: tuple[int, ...]
    blind: bool
    less: float


def blindness(log_p: Sequence[Tensor], baseline: Sequence[Tensor], labels: Tensor) -> Blindness:
    """Of log p of images with the classes `labels` (N,), a tensor (N, K) a level.

    The least noisy level is the first; those before its best one do not count. One temperature is
    taken for all levels, the usual one where it knows something, so that a classifier which is too
    sure by the same factor everywhere is not blind; the class means get one for each. A weak
    classifier that knows its weakness is not blind, nor one that is too sure of noise alone.
    """
    nothing = entropy(labels)
    fits = [fitted_temperature(each, labels) for each in log_p]
    means = [fitted_temperature(each, labels)[1] for each in baseline]
    known = [hot for hot, tempered in fits if tempered < (1 - KNOWS) * nothing]
    usual = max(1.0, median(known)) if known else 1.0
    best = min(range(len(fits)), key=lambda place: fits[place][1])
    noisier = range(best + 1, len(fits))
    now = [cross_entropy(each.double(), labels, usual) for each in log_p]
    worse = {place: (now[place] - means[place]) / nothing for place in noisier}
    unseen = {place: (fits[place][1] - means[place]) / nothing for place in noisier}
    too_sure = {place: (now[place] - fits[place][1]) / nothing for place in noisier}
    lost = [min(unseen[place], too_sure[place]) for place in noisier]
    much = sum(max(0.0, value) for value in worse.values()) / max(1, len(worse))
    return Blindness(
        tuple(place for place in noisier if worse[place] > WORSE and too_sure[place] > LOST / 2),
        max(lost, default=0.0) > LOST or much > MUCH_WORSE,
        max(unseen.values(), default=0.0),
    )


def blind_to_noise(evidence: Evidence, found: Blindness, unseen: Sequence[int]) -> Fault | None:
    """Of a classifier whose `Blindness` is found, without the classes `unseen`."""
    if not found.blind:
        return None
    reports = evidence.reports(unseen)
    some = [reports[place] for place in found.useless] or reports[-1:]
    worst = max(some, key=lambda each: each.found.cross_entropy)
    return Fault(
        "blind at high noise",
        "it does not know noisy images, as one that was trained on clean ones alone: from t = "
        f"{some[0].level.t:.0f} on it does worse than the class means, there with accuracy "
        f"{some[0].found.accuracy:.1%} instead of {some[0].baseline.accuracy:.1%}, and at t = "
        f"{worst.level.t:.0f} with cross-entropy {worst.found.cross_entropy:.3g} instead of "
        f"{worst.baseline.tempered:.3g}; guide at less noise alone, or train it on noisy images of "
        "all timesteps",
    )


def other_schedule(evidence: Evidence, unseen: Sequence[int]) -> Fault | None:
    """Of a classifier that does better where it is told the timesteps of another schedule.

    It must do so as it is and at one temperature for all levels, and must not be blind then. One
    that hardly reads the timestep loses nothing by wrong ones, and cannot be told.
    """
    count = next(iter(evidence.tellings.values())).shape[1]
    chosen = evidence.without(unseen)[:count]
    labels = evidence.labels[:count][chosen]
    told = {way: log_p[:, chosen] for way, log_p in evidence.tellings.items()}
    losses = {way: _losses(log_p, labels) for way, log_p in told.items()}
    gains = {
        way: gain
        for way, loss in losses.items()
        if (gain := _sure_gain(losses[""] - loss, labels)) > BETTER * entropy(labels)
    }
    baseline = [seen.baseline[:count][chosen] for seen in evidence.seen]
    # A schedule by name before a shift, then by what it gains.
    for way in sorted(gains, key=lambda way: (way.startswith(SHIFTED), -gains[way])):
        then = blindness(list(told[way]), baseline, labels)
        if not then.blind and then.less < LESS_TOLD:
            right, wrong = (losses[each][:, 0].mean().item() for each in (way, ""))
            return Fault(
                "other schedule",
                "it was trained on another noise schedule than its card says: told "
                f"{_in_words(way)} instead of its own, its cross-entropy over all levels is "
                f"{right:.3f} instead of {wrong:.3f}; give it the schedule that it was trained on",
            )
    return None


def _in_words(way: str) -> str:
    if way.startswith(SHIFTED):
        return f"timesteps that are off by {way.removeprefix(SHIFTED)} in log SNR"
    return f"the timesteps of {way}"


def _losses(log_p: Tensor, labels: Tensor) -> Tensor:
    """Each image's mean of -log p over the levels, (n, 3).

    It is that of the logits as they are, at one best temperature, and at the best of each level.
    log_p: (levels, n, K).
    """
    y = labels.expand(len(log_p), -1)
    one = fitted_temperature(log_p.flatten(0, 1), y.flatten())[0]
    each = log_p.new_tensor([fitted_temperature(level, labels)[0] for level in log_p])
    tempered = (log_p / one, log_p / each[:, None, None])
    ways = (log_p, *(logits.log_softmax(dim=2) for logits in tempered))
    return torch.stack([-way.gather(2, y[..., None])[..., 0].mean(dim=0) for way in ways], dim=1)


def _sure_gain(gains: Tensor, labels: Tensor) -> float:
    """The lesser mean of the first two columns of (n, 3); 0 if one may be chance.

    It is 0, too, if the third loses by more than two standard errors, or hardly varies at all:
    what only changes how sure a classifier is at each level changes nothing there.
    """
    mean, error = gains.mean(dim=0), standard_error(gains, labels)
    sure = bool((mean > SURE * error)[:2].all())
    matters = bool(mean[2] > -2 * error[2]) and bool(error[2] > VARIES * error[1])
    return mean[:2].min().item() if sure and matters else 0.0


def standard_error(values: Tensor, labels: Tensor) -> Tensor:
    """(c,) of the means of the columns of `values` (n, c), the classes `labels` (n,) given.

    Other timesteps make some classes likelier and others less, so that most of the variance is
    between classes; it is no error of a mean over images whose classes are given (Cochran 1977,
    Sampling Techniques, chapter 5: stratified sampling, here of one variance in all classes).
    """
    counts = torch.bincount(labels)
    degrees = len(values) - int((counts > 0).sum())
    if 2 * degrees < len(values):  # too few images of a class to tell
        return values.std(dim=0) / len(values) ** 0.5
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, labels, values)
    within = values - (sums / counts.clamp(min=1)[:, None])[labels]
    return (within.square().sum(dim=0) / degrees / len(values)).sqrt()
