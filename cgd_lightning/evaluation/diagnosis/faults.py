"""All that is wrong with a classifier, the cause before what follows from it.

Thresholds stand with the faults. They were found on classifiers of digits and MNIST of seeds 0 to
4, those of another schedule also on 20 to 24; benchmarks/diagnose.py tries them on other seeds and
tells what it found. All are relative: to the entropy of the classes, to the classifier's own
temperature, or to what the class means can do.
"""

from dataclasses import dataclass

from cgd_lightning.evaluation.diagnosis.evidence import Evidence, Fault, entropy
from cgd_lightning.evaluation.diagnosis.gradient_faults import adversarial, no_slope, overconfident
from cgd_lightning.evaluation.diagnosis.label_faults import (
    classes_never_seen,
    exchanged_labels,
    nothing_learned,
    unseen_classes,
)
from cgd_lightning.evaluation.diagnosis.noise_faults import (
    blind_to_noise,
    blindness,
    other_schedule,
)


@dataclass(frozen=True)
class Findings:
    """What is wrong, and where and with what it can guide all the same.

    usable: places of the levels at which it may guide; none of a classifier that cannot. unseen:
    classes that it was never shown.
    """

    faults: tuple[Fault, ...]
    usable: tuple[int, ...]
    unseen: tuple[int, ...]


def find_faults(evidence: Evidence) -> Findings:
    """The faults that the evidence shows.

    Where the labels or the schedule are wrong, nothing else is asked: all other numbers follow.
    """
    for fault in (exchanged_labels(evidence), nothing_learned(evidence)):
        if fault is not None:
            return Findings((fault,), (), ())
    unseen = unseen_classes(evidence)
    missing = classes_never_seen(evidence, unseen)
    told_wrongly = other_schedule(evidence, unseen)
    if told_wrongly is not None:
        return Findings(_those((told_wrongly, missing)), (), tuple(unseen))
    chosen = evidence.without(unseen)
    labels = evidence.labels[chosen]
    noise = blindness(
        [seen.log_p[chosen] for seen in evidence.seen],
        [seen.baseline[chosen] for seen in evidence.seen],
        labels,
    )
    sees = [place for place in range(len(evidence.seen)) if place not in noise.useless]
    reports = evidence.reports(unseen)
    good, nothing = [reports[place] for place in sees], entropy(labels)
    # Gradients of a classifier that is blind to noise are adversarial, and its temperature high.
    blind = blind_to_noise(evidence, noise, unseen)
    wrong = (blind,) if blind else (overconfident(good, nothing), adversarial(good, nothing))
    return Findings(_those((missing, *wrong, no_slope(evidence))), tuple(sees), tuple(unseen))


def _those(faults: tuple[Fault | None, ...]) -> tuple[Fault, ...]:
    return tuple(fault for fault in faults if fault is not None)
