"""`cgd evaluate`: what a judge says of samples, beside what it says of as many real images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.commands.stored_data import add_data_option, with_data
from cgd_lightning.configuration.files import PackagedConfigFile
from cgd_lightning.configuration.parser import OneLineErrors, take_trusted
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.targets import Target
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.report import DRAWS, METRICS, Measure, MetricFactory, Report
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.stored import read_samples

IN_THE_TABLE = ("accuracy", "fid_lite", "precision", "recall")


def run(args: list[str]) -> None:
    """Run `args`: "evaluate" and its options."""
    words, gate = take_trusted(args[1:])
    options = parser(words, gate.trust)
    settings = options.parse_args(words)
    gate.check(vars(settings), "")
    gate.keep_downloads_here(settings.data)
    if settings.samples is None or settings.judge is None:
        raise InputError(
            "wanted the samples and the judge: cgd evaluate --samples "
            "runs/diffusion/version_0/samples/0 --judge runs/judge"
        )
    path = checkpoints.find(settings.judge)
    card = checkpoints.read(path)
    if card.kind != "judge":
        raise InputError(
            f"--judge {path}: a {card.kind}, and a judge was wanted: cgd fit --config judge.yaml"
        )
    images, targets = read_samples(Path(settings.samples), card.image_shape, card.class_names)
    ready = with_data(options, settings, path)
    judge = checkpoints.load(
        path, CleanClassifier, device=pick_device(settings.device), trust=gate.trust
    )
    further = ready.metrics if isinstance(ready.metrics, list) else [ready.metrics]
    metrics = [metric for metric in further if metric is not None]
    print(table(JudgeFeatures(judge, f"{path}"), images, targets, ready.data, metrics))


def parser(words: list[str], trust: checkpoints.Trust) -> OneLineErrors:
    """The options of `cgd evaluate`.

    The data set is that of the judge in `words` unless the user names another.
    """
    description = (
        "Accuracy, FID-lite, precision and recall of samples, by a judge, against the test images "
        "of the judge's data set."
    )
    options = OneLineErrors(
        prog="cgd evaluate",
        default_env=True,
        env_prefix="CGD_EVALUATE_",
        description=description,
        allow_abbrev=False,
    )
    options.add_argument("--config", action=PackagedConfigFile, help="YAML file with options.")
    options.add_argument("--samples", type=str | None, help="Folder that cgd sample wrote.")
    options.add_argument(
        "--judge", type=str | None, help="Run, version folder or file of the judge."
    )
    options.add_argument(
        "--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps, ..."
    )
    options.add_argument(
        "--metrics",
        type=MetricFactory | list[MetricFactory] | None,
        help="Further metrics of the judge's features, your own by import path.",
    )
    add_data_option(options, words, "judge", "the judge", trust)
    return options


def table(
    features: JudgeFeatures,
    images: Tensor,
    targets: list[Target],
    data: Any,
    metrics: Sequence[MetricFactory] = (),
) -> str:
    """A table: samples, and draws of as many real training images, against all test images.

    metrics: further ones, a line each below it.
    """
    from cgd_lightning.data.images import sample_images

    test = data.split("test")
    held_out = sample_images(test, len(test))
    measure = Measure(features, held_out.images, held_out.labels, (*METRICS, *metrics))
    samples = measure(images, targets)
    train = sample_images(data.split("train"), DRAWS * samples.n)
    real = measure.real(train.images, samples.n)
    return "\n".join(
        [
            f"judge {features.name}: recognises {measure.recognised:.2%} of {real.reference} "
            f"test images of {data.name}",
            "FID-lite in its features; precision and recall with k = 3; both against these "
            f"{real.reference} images",
            "",
            f"{'':24}{'n':>6}  accuracy  FID-lite  precision  recall",
            _row("samples", samples, f"{samples['accuracy']:.2%}"),
            _row("real training images", real, ""),
            "",
            f"FID-lite of real images: mean of {len(real.draws)} draws, {min(real.draws):.4g} to "
            f"{max(real.draws):.4g}",
            *(
                f"{name}: samples {value:.4g}, real training images {real[name]:.4g}"
                for name, value in samples.values.items()
                if name not in IN_THE_TABLE
            ),
        ]
    )


def _row(title: str, report: Report, accuracy: str) -> str:
    return (
        f"{title:24}{report.n:>6}  {accuracy:>8}  {report['fid_lite']:>8.4g}  "
        f"{report['precision']:>9.3f}  {report['recall']:>6.3f}"
    )
