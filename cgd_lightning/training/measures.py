"""Class accuracy and FID-lite of guided samples while a network trains.

A judge measures them, or the guiding classifier itself where there is no judge.
"""

import json
from pathlib import Path

from lightning.pytorch import Trainer
from torch import Tensor

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.images import sample_images
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.evaluation.draws import DRAWS
from cgd_lightning.evaluation.features import FeatureNetwork, GuideFeatures, JudgeFeatures
from cgd_lightning.evaluation.frechet import FrechetDistance
from cgd_lightning.evaluation.measure import Measure
from cgd_lightning.evaluation.report import Report
from cgd_lightning.training.module import TrainingModule
from cgd_lightning.training.notices import Notices
from cgd_lightning.training.partners import Loaded, Partners

REFERENCE = 10_000
"""At most so many held-out images are compared with."""


class Measures:
    """Measures guided samples against held-out images, which a judge looks at once.

    The numbers are kept in samples/measures.jsonl.

    scale: of the guidance, which stands beside the numbers. partners: the judge among them, once it
    is there.
    """

    def __init__(self, scale: float, partners: Partners, notices: Notices) -> None:
        self.scale, self.partners, self.notices = scale, partners, notices
        self._known: tuple[Loaded, Measure, Report] | None = None

    def measure(
        self,
        images: Tensor,
        labels: Tensor,
        guide: NoisyClassifier | None,
        trainer: Trainer,
        module: TrainingModule,
        folder: Path,
    ) -> dict[str, float]:
        """What is seen in uint8 images (N, C, H, W) that were asked to be `labels` (N,).

        By the names under which it is logged: "guided/..." if the judge sees them,
        "self_judged/..." if the `guide` does. Nothing if there is neither, or there are no images.
        """
        judge = self.partners.judge
        eyes = _eyes(judge, guide)
        if eyes is None or not len(images):
            return {}
        measure, real = self._reference(judge, eyes, module.data, labels)
        report = measure(images, labels)
        self._keep(report, real, trainer, module.data, folder)
        prefix = "guided" if judge else "self_judged"
        values = {**report.values, "fid_lite_real": real["fid_lite"], "n": float(report.n)}
        return {f"{prefix}/{name}": value for name, value in values.items()}

    def _reference(
        self, judge: Loaded | None, eyes: FeatureNetwork, data: NoisingDataModule, labels: Tensor
    ) -> tuple[Measure, Report]:
        """The held-out images as `eyes` see them, and the report of training images of `labels`."""
        if judge is not None and self._known is not None and self._known[0] is judge:
            return self._known[1:]
        held_out = sample_images(data.split("val"), REFERENCE).images
        measure = Measure(eyes, held_out, metrics=[FrechetDistance])
        train = sample_images(data.split("train"), DRAWS * len(labels))
        real = measure.of_real(eyes(train.images), len(labels), train.labels, labels.tolist())
        if judge is not None:
            self._known = judge, measure, real
        return measure, real

    def _keep(
        self, report: Report, real: Report, trainer: Trainer, data: NoisingDataModule, folder: Path
    ) -> None:
        record = {"step": trainer.global_step, "n": report.n, "scale": self.scale}
        seen_by = {"features": report.features, "reference": report.reference}
        values = {**report.values, "fid_lite_real": real["fid_lite"]}
        with (folder / "samples" / "measures.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**record, **seen_by, **values}) + "\n")
        self.notices.once(
            f"{report.n} samples at scale {self.scale:g}, judged by {report.features}; FID-lite in "
            f"its features against {report.reference} held-out images of {data.name}; {report.n} "
            f"real training images score {real['fid_lite']:.3g}",
            trainer,
            key=f"measured by {report.features}",
        )


def _eyes(judge: Loaded | None, guide: NoisyClassifier | None) -> FeatureNetwork | None:
    if judge is not None:
        return JudgeFeatures(judge.model, str(judge.file))
    return GuideFeatures(guide) if guide is not None else None
