"""`cgd evaluate`: what a judge says of samples, beside what it says of as many real images."""

from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.commands.stored_data import add_data_option, data_of
from cgd_lightning.configuration.parser import OneLineErrors, take_trusted
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.targets import Target, hit
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import look
from cgd_lightning.evaluation.metrics import accuracy, frechet_distance, precision_recall
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.stored import read_samples

DRAWS = 10
"""At most so many draws of real images are averaged, as the value of one varies."""


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
    data = data_of(options, settings, path)
    judge = checkpoints.load(path, device=pick_device(settings.device), trust=gate.trust)
    print(report(judge, images, targets, data, f"{path}"))


def parser(words: list[str], trust: checkpoints.Trust) -> OneLineErrors:
    """The options of `cgd evaluate`; the data set is that of the judge in `words` unless the user
    names another.
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
    options.add_argument("--samples", type=str | None, help="Folder that cgd sample wrote.")
    options.add_argument(
        "--judge", type=str | None, help="Run, version folder or file of the judge."
    )
    options.add_argument(
        "--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps, ..."
    )
    add_data_option(options, words, "judge", "the judge", trust)
    return options


def report(
    judge: CleanClassifier, images: Tensor, targets: list[Target], data: Any, name: str
) -> str:
    """A table: samples, and draws of as many real training images, against all test images."""
    from cgd_lightning.data.images import sample_images

    n, train = len(images), data.split("train")
    test = sample_images(data.split("test"), len(data.split("test")))
    reference, classes = look(judge, test.images)
    seen, seen_classes = look(judge, images)
    drawn = look(judge, sample_images(train, DRAWS * n).images)[0]
    drawn = drawn[torch.randperm(len(drawn), generator=torch.Generator().manual_seed(0))]
    size = min(n, len(drawn))
    draws = drawn[: len(drawn) // size * size].split(size)
    distances = [frechet_distance(reference, draw) for draw in draws]
    rows = [
        (
            "samples",
            n,
            f"{hit(seen_classes, targets).double().mean().item():.2%}",
            frechet_distance(reference, seen),
            precision_recall(reference, seen),
        ),
        (
            "real training images",
            len(draws[0]),
            "",
            mean(distances),
            precision_recall(reference, draws[0]),
        ),
    ]
    return "\n".join(
        [
            f"judge {name}: recognises {accuracy(classes, test.labels):.2%} of {len(reference)} "
            f"test images of {data.name}",
            "FID-lite in its features; precision and recall with k = 3; both against these "
            f"{len(reference)} images",
            "",
            f"{'':24}{'n':>6}  accuracy  FID-lite  precision  recall",
            *(
                f"{title:24}{n:>6}  {share:>8}  {fid:>8.4g}  {p:>9.3f}  {r:>6.3f}"
                for title, n, share, fid, (p, r) in rows
            ),
            "",
            f"FID-lite of real images: mean of {len(draws)} draws, {min(distances):.4g} to "
            f"{max(distances):.4g}",
        ]
    )
