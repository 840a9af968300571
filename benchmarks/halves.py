"""Which half of a pair is wrong: each in turn exchanged for the exact one of the training images.

    python benchmarks/halves.py --data.root data

Of runs/mnist-diffusion, runs/mnist-classifier and runs/mnist-judge, or what the options name. Noisy
training images have a density in closed form, and so a score and a class: what a predictor and a
classifier that learn these images by heart come to. Both of these together make training images,
of the class that was asked for. Prints a table; FID-lite, precision and recall are against the test
images. 6 minutes on one core.

The rows "afterwards" ask for no class: each unguided sample gets one drawn from p(y | x0), as the
classifier has it. By Bayes' rule these are what guidance by this pair at scale 1 comes to, were all
of the classifier's gradients those of its probabilities and of the predictor's own noisy images.
"""

import argparse
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cgd_lightning import checkpoints
from cgd_lightning.data.vision import MNIST
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.generate import generate
from cgd_lightning.diffusion.guidance import Chain, Clamp, ClassifierGuidance
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import NoiseSchedule
from cgd_lightning.evaluation.features import JudgeFeatures
from cgd_lightning.evaluation.measure import Measure

METRICS = ("accuracy", "fid_lite", "precision", "recall")


class Memory(nn.Module):
    """All that a noisy image can be of: images (N, C, H, W) in -1 to 1 with classes (N,)."""

    def __init__(self, schedule: NoiseSchedule, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        order = labels.argsort(stable=True)
        self.schedule, self.counts = schedule, labels.bincount().tolist()
        # A parameter, as that is where `generate` looks for the device.
        self.images = nn.Parameter(images[order].flatten(1), requires_grad=False)
        self.register_buffer("squares", self.images.square().sum(1))

    def log_likelihoods(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_t | image) up to what all images share, (B, N), in the order of their classes."""
        alpha, sigma = (values[:, None] for values in self.schedule.alpha_sigma(t))
        products = x_t.flatten(1) @ self.images.T
        return (alpha * products - 0.5 * alpha**2 * self.squares) / sigma**2


class ExactMean(Memory):
    """E[x0 | x_t], as x_t is (B, C, H, W)."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return (self.log_likelihoods(x_t, t).softmax(1) @ self.images).reshape(x_t.shape)


class ExactClass(Memory):
    """log p(class | x_t) up to what all classes share, (B, K)."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        parts = self.log_likelihoods(x_t, t).split(self.counts, dim=1)
        return torch.stack([part.logsumexp(1) for part in parts], dim=1)


def sampled(denoiser: Denoiser, guide: NoisyClassifier, scale: float, count: int) -> Tensor:
    """So many samples of classes in turn, uint8 (count, C, H, W)."""
    rule = Chain([ClassifierGuidance(scale), Clamp()])
    names = denoiser.class_names
    labels = [names[index % len(names)] for index in range(count)]
    sampler = DDIM(steps=20, eta=1.0, spacing="trailing")
    chunks = generate(denoiser, labels, sampler, rule, guide, batch_size=100)
    return torch.cat([images for _, images in chunks])


def believed(classifier: NoisyClassifier, images: Tensor) -> Tensor:
    """p(y | x0) of the samples (B, C, H, W) as the classifier has it, (B, K)."""
    chunks = classifier.data.codec.encode(images).split(100)
    with torch.inference_mode():
        log_p = [classifier.log_prob(x0, torch.zeros(len(x0))) for x0 in chunks]
    return torch.cat(log_p).exp()


def drawn(classifier: NoisyClassifier, images: Tensor) -> Tensor:
    """A class for each of the samples (B, C, H, W) by the classifier's p(y | x0), int64 (B,)."""
    chance = torch.Generator().manual_seed(0)
    return believed(classifier, images).multinomial(1, generator=chance)[:, 0]


def doubted(classifier: NoisyClassifier, images: Tensor, targets: Tensor, seen: Tensor) -> str:
    """In how many samples (B, C, H, W) the classifier itself does not see what they should show.

    Told of those that show the classes `targets` and of others, by the classes `seen`, both (B,).
    """
    p = believed(classifier, images).gather(1, targets[:, None])[:, 0]
    low, right = p < 0.5, seen == targets
    parts = (f"{int(low[which].sum())} of {int(which.sum())}" for which in (~right, right))
    return "p(y | x0) < 0.5: {} samples of other classes, {} of those asked for".format(*parts)


def show(predictor: str, classifier: str, scale: str, report: Mapping[str, float]) -> None:
    """A line of the table."""
    cells = " | ".join(f"{report[metric]:.3f}" for metric in METRICS)
    print(f"| {predictor} | {classifier} | {scale} | {cells} |", flush=True)


def main() -> None:
    """Samples all pairs of the halves, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--diffusion", default="runs/mnist-diffusion")
    parser.add_argument("--classifier", default="runs/mnist-classifier")
    parser.add_argument("--judge", default="runs/mnist-judge")
    parser.add_argument("--data.root", dest="root", default="data")
    parser.add_argument("--samples", type=int, default=500)
    given = parser.parse_args()
    data = MNIST(given.root, False)
    train, test = data.split("train"), data.split("test")
    judge = JudgeFeatures(checkpoints.load(given.judge, CleanClassifier), "judge")
    measure = Measure(judge, test.images, test.labels)
    trained = checkpoints.load(given.diffusion, Denoiser)
    guide = checkpoints.load(given.classifier, NoisyClassifier)
    schedule, images = trained.schedule, train.images / 127.5 - 1
    spec, classes = trained.data, len(trained.class_names)
    exact = Denoiser(ExactMean(schedule, images, train.labels), schedule, "x0", spec).eval()
    sure = NoisyClassifier(ExactClass(schedule, images, train.labels), schedule, spec).eval()
    targets = torch.arange(given.samples) % classes
    print("| predictor | classifier | scale | recognised | FID-lite | precision | recall |")
    print("|---|---|---|---|---|---|---|")
    of_each = [(train.labels == k).nonzero()[: given.samples // classes, 0] for k in range(classes)]
    real = torch.cat(of_each)
    show("real", "", "", measure(train.images[real], train.labels[real]))
    told = []
    for predictor, denoiser in (("trained", trained), ("exact", exact)):
        unguided = sampled(denoiser, guide, 0.0, given.samples)
        show(predictor, "none", "0", measure(unguided, targets))
        for name, classifier, scales in (
            ("trained", guide, (1.0, 2.0, 3.0)),
            ("exact", sure, (1.0,)),
        ):
            report = measure(unguided, drawn(classifier, unguided))
            show(predictor, f"{name}, afterwards", "", report)
            for scale in scales:
                made = sampled(denoiser, classifier, scale, given.samples)
                show(predictor, name, f"{scale:g}", measure(made, targets))
                if scale == 1:
                    _, logits = judge.see(judge.codec.encode(made))
                    doubts = doubted(classifier, made, targets, logits.argmax(1))
                    told.append(f"{predictor}, {name}, scale 1, {doubts}")
    print("", *told, sep="\n")


if __name__ == "__main__":
    main()
