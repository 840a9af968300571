"""What is measured of the samples of one scale: all metrics of a report, and the distance by class.

    look = ScaleMeasure(Measure(features, real_images, labels, ALL_METRICS))
    measured = look(images, targets)        # a Measured, which `choose` compares with others

Where nobody labelled the real images, the classes that the network sees in them stand for labels;
where it knows no classes either, all samples are compared with all real images, and the notes say
so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from secrets import token_hex

from torch import Tensor

from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.by_class import Distances, check_enough, error
from cgd_lightning.evaluation.estimate import Estimate, about
from cgd_lightning.evaluation.jackknife import BLOCKS
from cgd_lightning.evaluation.kept import is_lasting
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.evaluation.measured import DISTANCE, Measured
from cgd_lightning.evaluation.reference import Reference
from cgd_lightning.streams import Images

NO_CLASSES = (
    "note: nobody knows the classes of the real images: the distance compares all samples with all "
    "of them, and does not see whether a sample shows what it was asked to"
)

SEEN_CLASSES = "note: the real images have no labels; the classes that {name} sees stand for them"


@dataclass(frozen=True, eq=False)
class ScaleMeasure:
    """uint8 images (N, C, H, W) and what each was asked to show -> what is measured of them.

    measure: makes the reports.
    """

    measure: Measure

    @property
    def reference(self) -> Reference:
        """The real images."""
        return self.measure.known

    @property
    def key(self) -> dict[str, str]:
        """By which features and against which real images, for what is kept on the disk."""
        return {
            "features": self.measure.features.name,
            "features_hash": self._hash,
            "judge_hash": self.measure.judge.hash,
            "metrics": ", ".join(getattr(m, "__name__", repr(m)) for m in self.measure.metrics),
            "reference": self.reference.name,
            "reference_hash": self.reference.hash,
        }

    @cached_property
    def _hash(self) -> str:
        """Of the features; of today's alone where the same weights may mean others tomorrow."""
        features = self.measure.features
        return features.hash if is_lasting(features) else f"{features.hash}-{token_hex(4)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the distances must know."""
        if self.reference.labels is not None:
            return ()
        seen = self._guessed is not None
        return (SEEN_CLASSES.format(name=self.measure.features.name) if seen else NO_CLASSES,)

    @cached_property
    def distances(self) -> Distances:
        """The real images by class. Raises InputError if nothing but their moments is known."""
        real = self.reference
        if real.features is None:
            raise InputError(
                f"{real.name}: of these the mean and the covariance are known alone; a sweep wants "
                "real images"
            )
        return Distances(real.features, self._guessed if real.labels is None else real.labels)

    @property
    def _guessed(self) -> Tensor | None:
        """The classes of the real images as the network sees them, if it knows the classes."""
        logits = self.reference.logits
        known = logits is not None and self.measure.features.class_names
        return logits.argmax(dim=-1) if logits is not None and known else None

    def check(self, targets: Sequence[Target]) -> None:
        """Raises InputError if samples of these targets cannot be compared, before any is made."""
        check_enough(targets)
        self.distances.check(targets)

    def __call__(self, images: Images, targets: Sequence[Target], scale: float) -> Measured:
        """What is measured of the samples of one scale. Raises InputError as `check` does."""
        seen = self.measure.features(images, what="samples")
        other = self.measure.judge is not self.measure.features
        judged = self.measure.judge(images, what="samples") if other else seen
        asked = list(targets) if self.measure.judge.class_names else None
        report = self.measure.of_seen(seen, asked, judged)
        distance = self.distances(seen.features, targets)
        estimates: Mapping[str, Estimate] = {
            **report.estimates,
            DISTANCE: about(distance.value, error(distance), BLOCKS - 1),
        }
        return Measured(len(images), scale, estimates, distance)
