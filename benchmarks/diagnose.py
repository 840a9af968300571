"""Whether `cgd diagnose` tells broken classifiers from good ones.

    cgd fit --config diffusion.yaml
    python benchmarks/diagnose.py --seeds 4,5,6
    python benchmarks/diagnose.py --data MNIST --data.root data --seeds 4 --diffusion ""

Good classifiers of several networks, schedules and seeds are trained, and broken ones with the
same settings: on clean images alone, on shuffled labels, without one class. The others are made of
the good ones: random weights, logits times five, another schedule on the card, classes exchanged. A
row a classifier says what was found, and the last line how often that was what was wrong. Trained
classifiers are kept in the folder --out.
"""

import argparse
import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor, nn

from cgd_lightning import checkpoints
from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.data.digits import Digits
from cgd_lightning.data.images import ImageBatch, ImageTensors, sample_images
from cgd_lightning.data.vision import MNIST
from cgd_lightning.diffusion.classifier import NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule
from cgd_lightning.evaluation.diagnosis import diagnose
from cgd_lightning.networks import EncoderUNet
from cgd_lightning.networks.mlp import MLPClassifier
from cgd_lightning.training.modules import ClassifierModule

ENCODER = partial(
    EncoderUNet, channel_mult=[1, 2], num_res_blocks=1, num_heads=2, norm_groups=2, patch_size=2
)


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: its network, number of steps and learning rate."""

    network: Any
    steps: int
    rate: float = 2e-3


RECIPES = {
    "packaged": Recipe(partial(ENCODER, model_channels=32, attention_resolutions=[2]), 300),
    "no attention": Recipe(partial(ENCODER, model_channels=32, attention_resolutions=[]), 500),
    "small": Recipe(partial(ENCODER, model_channels=16, attention_resolutions=[]), 400),
    "MLP": Recipe(partial(MLPClassifier, width=256), 800, 1e-3),
}
SCHEDULES = {"Cosine": Cosine(), "Linear": Linear()}
TRAINED = {
    "good": "",
    "clean images": "blind at high noise",
    "shuffled": "labels shuffled",
    "without 3": "class never seen",
}


def broken(kind: str, base: type[NoisingDataModule]) -> type[NoisingDataModule]:
    """The data set `base` with what is wrong with its training images."""

    class Broken(base):  # type: ignore[misc,valid-type]
        def split(self, name: str) -> Any:
            data = super().split(name)
            if name != "train" or kind in ("good", "clean images"):
                return data
            if kind == "shuffled":
                order = torch.randperm(
                    len(data), generator=torch.Generator().manual_seed(self.seed)
                )
                return ImageTensors(data.images, data.labels[order])
            return ImageTensors(data.images[data.labels != 3], data.labels[data.labels != 3])

        def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> Any:
            noisy = super().on_after_batch_transfer(batch, dataloader_idx)
            if kind == "clean images":
                return replace(noisy, x_t=noisy.x0)
            return noisy

    return Broken


class Times(nn.Module):
    """The logits of another network, times a number, in an order."""

    def __init__(self, network: nn.Module, factor: float, order: list[int]) -> None:
        super().__init__()
        self.network, self.factor, self.order = network, factor, order

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.factor * self.network(x_t, t)[:, self.order]


def train(recipe: Recipe, data: NoisingDataModule, seed: int, file: Path) -> NoisyClassifier:
    """The classifier in `file`, trained if it is not there."""
    if not file.exists():
        seed_everything(seed, verbose=False)
        module = ClassifierModule(
            recipe.network,
            lambda parameters: torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=0.05),
            warmup_steps=20,
            decay="linear",
            ema_decay=0.99,
        )
        trainer = Trainer(
            max_steps=recipe.steps, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_checkpointing=False, enable_model_summary=False, limit_val_batches=0,
            gradient_clip_val=1.0,
        )  # fmt: skip
        trainer.fit(module, datamodule=data)
        file.parent.mkdir(parents=True, exist_ok=True)
        checkpoints.save(module.ema, file, data.name)
    return checkpoints.load(file, NoisyClassifier)


def derived(
    good: NoisyClassifier, schedule: NoiseSchedule, seed: int
) -> Iterator[tuple[str, str, NoisyClassifier]]:
    """(what was done, the fault, the classifier) of those that are made of a good one."""
    kept, card, data = good.network, good.schedule, good.data
    order = list(range(len(data.class_names)))
    generator = torch.Generator().manual_seed(seed)
    random, fresh = copy.deepcopy(kept), type(kept)(**kept.init_args)
    for weight in random.parameters():
        weight.data = 0.1 * torch.randn(weight.shape, generator=generator)
    yield "random weights", "untrained", NoisyClassifier(random.eval(), card, data)
    fresh = fresh.eval().requires_grad_(False)
    yield "fresh weights", "untrained", NoisyClassifier(fresh, card, data)
    hot, swapped = Times(kept, 5, order), Times(kept, 1, [1, 0, *order[2:]])
    yield "logits x 5", "overconfident", NoisyClassifier(hot, card, data)
    yield "other card", "other schedule", NoisyClassifier(kept, schedule, data)
    yield "0 and 1 exchanged", "labels exchanged", NoisyClassifier(swapped, card, data)


def main() -> None:
    """Train what is missing, diagnose all, and print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, default=Path("runs/diagnose"))
    options.add_argument("--data", choices=["Digits", "MNIST"], default="Digits")
    options.add_argument("--data.root", dest="root", default="data")
    options.add_argument("--diffusion", default="runs/diffusion", help="none if empty")
    options.add_argument("--seeds", default="4,5,6")
    options.add_argument("--recipes", default=",".join(RECIPES))
    options.add_argument("--kinds", default=",".join(TRAINED))
    options.add_argument("--schedules", default=",".join(SCHEDULES))
    given = options.parse_args()
    base = Digits if given.data == "Digits" else MNIST
    where = {} if base is Digits else {"root": given.root, "download": False}
    denoiser = checkpoints.load(given.diffusion, Denoiser) if given.diffusion else None
    plain = base(**where)
    test = sample_images(plain.split("test"), 1000)
    images = sample_images(plain.split("train"), 5000)
    right = total = 0
    for seed in map(int, given.seeds.split(",")):
        for name in given.recipes.split(","):
            for title in given.schedules.split(","):
                for kind in given.kinds.split(","):
                    schedule = SCHEDULES[title]
                    data = broken(kind, base)(**where, schedule=schedule, seed=seed)
                    file = given.out / f"{given.data}-{name}-{title}-{kind}-{seed}.ckpt"
                    trained = train(RECIPES[name], data, seed, file)
                    other = Linear() if title == "Cosine" else Cosine()
                    rows = [(kind, TRAINED[kind], trained)]
                    if kind == "good":
                        rows += derived(trained, other, seed)
                    for done, fault, classifier in rows:
                        found = diagnose(
                            classifier, test.images, test.labels, denoiser,
                            training=(images.images, images.labels), batch_size=500,
                        )  # fmt: skip
                        kinds = "; ".join(each.kind for each in found.faults)
                        right, total = right + (kinds == fault), total + 1
                        mark = " " if kinds == fault else "!"
                        print(
                            f"{mark} {seed} {name:13}{title:8}{done:18} -> {kinds or 'no fault':22}"
                            f"{found.verdict[0][:70]}",
                            flush=True,
                        )
    print(f"{right} of {total} are told rightly")


if __name__ == "__main__":
    main()
