"""Faults of labels: none that were learned, others than these, or too few.

A classifier that knows nothing of any image, however little noise is in it, was never trained, or
was trained on labels that tell nothing of these images. The spectra of its weights tell which.
"""

import torch
from torch import Tensor

from cgd_lightning.evaluation.diagnosis.calibration import confusion
from cgd_lightning.evaluation.diagnosis.evidence import Evidence, Fault, entropy, told
from cgd_lightning.evaluation.diagnosis.weights import largest_outlier

NOTHING = 0.06
"""Of the entropy of the classes: who tells less at every level knows nothing."""

RANDOM = 1.25
"""Of random weights no outlier was above 1.05; of trained ones the least was 2.0."""

MOSTLY = 0.5
"""Of the images of a class: so many must be taken for another for the two to be exchanged."""

FEWEST = 5
"""Images of a class that say whether it was ever seen."""

NEVER = 0.25
"""Of a class's share: a lower mean probability at all levels says that it was never seen."""


def exchanged_labels(evidence: Evidence) -> Fault | None:
    """Of classes whose images are taken for another, and of that one's for a third, in a circle."""
    best = max(evidence.seen, key=lambda seen: _certainty(seen.log_p, evidence.labels))
    shares, taken_for = confusion(best.log_p, evidence.labels).nan_to_num().max(dim=1)
    moved = [k for k, other in enumerate(taken_for.tolist()) if other != k and shares[k] > MOSTLY]
    if not moved or sorted(taken_for[moved].tolist()) != moved:
        return None
    pairs = [
        f"{evidence.class_names[k]} is called {evidence.class_names[taken_for[k]]}"
        for k in moved[:5]
    ]
    return Fault(
        "labels exchanged",
        f"its classes are in another order: at t = {best.level.t:.0f} {', '.join(pairs)}"
        f"{', ...' if len(moved) > 5 else ''} ({shares[moved].mean():.0%} of the images); it would "
        "guide to the wrong class: give the class names in the order of its training labels",
    )


def _certainty(log_p: Tensor, labels: Tensor) -> float:
    return confusion(log_p, labels).max(dim=1).values.nan_to_num().mean().item()


def nothing_learned(evidence: Evidence) -> Fault | None:
    """Of a classifier that knows nothing of the images at any level."""
    reports, nothing = evidence.reports(), entropy(evidence.labels)
    best = max(reports, key=lambda each: told(each, nothing))
    if told(best, nothing) > NOTHING:
        return None
    accuracy = max(each.found.accuracy for each in reports)
    shows = (
        f"its accuracy is {accuracy:.1%} at most, its cross-entropy at t = 0 "
        f"{reports[0].found.cross_entropy:.3g} where knowing nothing gives {nothing:.3g}"
    )
    outlier = largest_outlier(evidence.network)
    if outlier is None or outlier < RANDOM:
        spectra = (
            ""
            if outlier is None
            else f", and no singular value of its weights is above {outlier:.2f} times what random "
            "numbers give"
        )
        return Fault(
            "untrained", f"its weights are random: {shows}{spectra}; train it, or load its weights"
        )
    return Fault(
        "labels shuffled",
        f"it was trained, but not on these labels of these images: {shows}, and its weights are no "
        f"random ones ({outlier:.1f} times the largest singular value of such); its training "
        "labels were shuffled, or these are other images: check both and train it again",
    )


def unseen_classes(evidence: Evidence) -> list[int]:
    """The classes that the classifier was never shown, though there are held-out images of them."""
    counts = torch.bincount(evidence.labels, minlength=len(evidence.class_names)).double()
    shares = counts / counts.sum()
    highest = torch.stack([seen.log_p.double().exp().mean(dim=0) for seen in evidence.seen]).amax(0)
    least = evidence.seen[0]
    recall = confusion(least.log_p, evidence.labels).diagonal()
    unseen = (counts >= FEWEST) & (highest < NEVER * shares) & (recall < 1 - MOSTLY)
    return torch.nonzero(unseen)[:, 0].tolist()


def classes_never_seen(evidence: Evidence, classes: list[int]) -> Fault | None:
    """Of `classes`, as `unseen_classes` gives them."""
    if not classes:
        return None
    first = evidence.reports()[0]
    recall = max(first.found.recall[k] for k in classes)
    highest = max(
        seen.log_p.double().exp().mean(dim=0)[k].item() for seen in evidence.seen for k in classes
    )
    several = len(classes) > 1
    return Fault(
        "class never seen",
        f"class{'es' if several else ''} {evidence.named(classes)} {'were' if several else 'was'} "
        f"not in its training data: at t = 0 it recognises {recall:.1%} of such images, and its "
        f"mean probability is {highest:.2g} at most, whatever the noise; do not guide to "
        f"{'them' if several else 'it'}, or train again with all classes",
    )
