"""The trainings, a few lines each.

There are three: of the noise predictor, of the classifier of noisy images, and of the judge of
clean ones.
"""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from cgd_lightning.data.datamodule import NoisingDataModule
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.denoiser import Denoiser, PredictionType
from cgd_lightning.diffusion.process import NoisyBatch, expand
from cgd_lightning.diffusion.variational import VARIATIONAL_WEIGHT, variational_bound
from cgd_lightning.errors import InputError
from cgd_lightning.training.classifier_losses import (
    certainty,
    gradient_size,
    read_with_gradient,
)
from cgd_lightning.training.label_dropout import drop_labels, told_classes
from cgd_lightning.training.min_snr import min_snr_weight, x0_per_target
from cgd_lightning.training.module import NetworkFactory, OptimizerFactory, TrainingModule
from cgd_lightning.training.module_checks import (
    check_classifier,
    check_diffusion,
    check_levels,
    check_no_upsampler,
    check_variance,
)
from cgd_lightning.training.score_matching import load_noise_predictor, score_error


class DiffusionModule(TrainingModule):
    """Trains the diffusion model: || network(x_t, t) - target ||^2.

    Ho et al. 2020 (arXiv:2006.11239), algorithm 1.

    Args:
        prediction: what the network predicts: eps, x0 or v.
        classifier: run or file of the classifier that `cgd sample` takes unless told otherwise.
        min_snr_gamma: weigh the squared error of x0 by min(SNR, gamma), whatever the network
            predicts, so that neither end of the noise levels outweighs the others: Hang et al. 2023
            (arXiv:2303.09556), section 3.4, where gamma is 5.
        learned_variance: give the network as many channels again, for the variance of a DDPM step.
            The loss is then L_simple + 0.001 L_vlb, of which the second, "vlb" in bits per
            dimension, trains the variance alone: Nichol and Dhariwal 2021 (arXiv:2102.09672),
            section 3.1. The first few timesteps make most of it, so that its mean over fewer than
            thousands of images says little. min_snr_gamma weighs L_simple only.
        label_dropout: tell the network the class, and with this probability, in training, a label
            past the classes that tells it nothing, as classifier-free guidance needs: Ho and
            Salimans 2022 (arXiv:2207.12598), algorithm 1. At 0 it is always told the class, and has
            no such label. Held-out losses are those with the class. Without label_dropout the
            network decides, by its own num_classes.
    """

    kind = "diffusion"

    def __init__(
        self,
        network: NetworkFactory,
        prediction: PredictionType = "eps",
        classifier: str | None = None,
        min_snr_gamma: float | None = None,
        learned_variance: bool = False,
        label_dropout: float | None = None,
        optimizer: OptimizerFactory | None = None,
        warmup_steps: int = 0,
        decay: Literal["constant", "linear", "cosine"] = "constant",
        ema_decay: float = 0.999,
        ema_statistics: bool = False,
        compile: bool = False,
    ) -> None:
        if learned_variance:
            self.measures = ("loss", "vlb")
        super().__init__(
            network, optimizer, warmup_steps, decay, ema_decay, ema_statistics, compile
        )
        self.prediction: PredictionType = prediction
        self.classifier = classifier
        check_diffusion(network, min_snr_gamma, label_dropout)
        self.min_snr_gamma, self.label_dropout = min_snr_gamma, label_dropout
        self.learned_variance = learned_variance

    @property
    def partner(self) -> str | None:
        return self.classifier

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> Denoiser:
        channels, size, _ = data.codec.shape(data.image_shape)
        check_levels(self.min_snr_gamma, data.schedule)
        check_variance(self.learned_variance, data.codec)
        outputs = 2 * channels if self.learned_variance else channels
        if self.label_dropout is None:
            built = network(size, channels, outputs)
        else:
            classes = len(data.class_names) + (1 if self.label_dropout > 0 else 0)
            built = told_classes(network, classes, size, channels, outputs)
        check_no_upsampler(built)
        return Denoiser(built, data.schedule, self.prediction, data.spec, self.learned_variance)

    def measure(self, model: Denoiser, batch: NoisyBatch) -> dict[str, Tensor]:
        labels = drop_labels(model, batch, self.label_dropout)
        output, fraction = model.output(batch.x_t, batch.t, labels)
        error = output - model.target(batch)
        loss = error.square().mean(dim=(1, 2, 3))
        if self.min_snr_gamma is not None:
            loss = loss * min_snr_weight(model, batch.t, self.min_snr_gamma)
        if fraction is None or not self.learned_variance:
            return {"loss": loss}
        error_of_x0 = expand(x0_per_target(model, batch.t), error) * error.detach()
        vlb = variational_bound(batch.x0, error_of_x0, fraction, batch.t, model.schedule)
        return {"loss": loss + VARIATIONAL_WEIGHT * vlb, "vlb": vlb}


class ClassifierModule(TrainingModule):
    """Trains the classifier of noisy images: cross-entropy of p(y | x_t).

    Dhariwal and Nichol 2021 (arXiv:2105.05233), section 4.

    Args:
        score_weight: add so many times the mismatch of the gradient, "score" in nats per unit of
            log SNR, which a diffusion model tells; its best classifier is the exact one too: Chao
            et al. 2022 (arXiv:2203.14206). A step goes back through the network twice, and not
            through a compiled one, and asks the diffusion model once.
        diffusion: run or file of that diffusion model, of the same data and schedule.
        gradient_penalty: add so many times half the square of the gradient, "gradient" in nats per
            unit of log SNR: a smoother classifier, whose gradient is shorter than the exact one's.
            It goes back twice as well.
        gradient_images: look at the gradient of so many images of a training batch, for the two
            above; of all of them if none is given. The rest are classified alone, which is cheap.
        entropy_weight: add so many times log K - H(p), "certainty" in nats: a classifier that
            stays less sure than the exact one, so that its gradient does not die: Zheng et al. 2022
            (arXiv:2206.11474), where it is 0.1.
        label_smoothing: train towards this share, less than 1, of all classes alike. The best
            classifier is then the exact one mixed with it, whose gradient is weaker where it is
            sure.
    """

    kind = "classifier"
    measures: tuple[str, ...] = ("loss", "accuracy")

    def __init__(
        self,
        network: NetworkFactory,
        score_weight: float = 0.0,
        diffusion: str | None = None,
        gradient_penalty: float = 0.0,
        gradient_images: int | None = None,
        entropy_weight: float = 0.0,
        label_smoothing: float = 0.0,
        optimizer: OptimizerFactory | None = None,
        warmup_steps: int = 0,
        decay: Literal["constant", "linear", "cosine"] = "constant",
        ema_decay: float = 0.999,
        ema_statistics: bool = False,
        compile: bool = False,
    ) -> None:
        weights = {
            "score": score_weight,
            "gradient": gradient_penalty,
            "certainty": entropy_weight,
        }
        check_classifier(weights, diffusion, gradient_images, label_smoothing, compile)
        self.loss_weights = {name: weight for name, weight in weights.items() if weight}
        if self.loss_weights or label_smoothing:
            self.measures = ("loss", "accuracy", "cross_entropy", *self.loss_weights)
        super().__init__(
            network, optimizer, warmup_steps, decay, ema_decay, ema_statistics, compile
        )
        self.diffusion, self.label_smoothing = diffusion, label_smoothing
        self.gradient_images = gradient_images
        # In a list, so that it is no part of what is trained and stored.
        self._noise_predictor: list[Denoiser] = []

    def configure_model(self) -> None:
        super().configure_model()
        if self.diffusion is not None and not self._noise_predictor:
            found = load_noise_predictor(self.diffusion, self.data)
            self._noise_predictor = [found.to(self.device)]

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> NoisyClassifier:
        channels, size, _ = data.codec.shape(data.image_shape)
        classes = len(data.class_names)
        return NoisyClassifier(network(size, channels, classes), data.schedule, data.spec)

    def measure(self, model: NoisyClassifier, batch: NoisyBatch) -> dict[str, Tensor]:
        weights = self.loss_weights
        if not weights and not self.label_smoothing:
            return _classification(model.logits(batch.x_t, batch.t), batch.y)
        added: dict[str, Tensor] = {}
        if "score" in weights or "gradient" in weights:
            looked_at = self.gradient_images if model.training else None
            logits, gradient = read_with_gradient(model, batch, looked_at)
            added["gradient"] = _spread(gradient_size(gradient), len(logits))
            for denoiser in self._noise_predictor:
                added["score"] = _spread(score_error(gradient, denoiser, batch), len(logits))
        else:
            logits = model.logits(batch.x_t, batch.t)
        added["certainty"] = certainty(logits)
        measures = _classification(logits, batch.y, self.label_smoothing)
        measures["cross_entropy"] = F.cross_entropy(logits.detach(), batch.y, reduction="none")
        for name, weight in weights.items():
            measures["loss"] = measures["loss"] + weight * added[name]
            measures[name] = added[name].detach()
        return measures

    def predict_step(self, batch: NoisyBatch, batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        """(index (B,), labels (B,), p(y | x_t) (B, K)) of a batch."""
        assert isinstance(self.ema, NoisyClassifier)
        return batch.index, batch.y, self.ema.log_prob(batch.x_t, batch.t).exp()


class JudgeModule(TrainingModule):
    """Trains a classifier of clean images, to judge samples with: cross-entropy of p(y | x0)."""

    kind = "judge"
    measures = ("loss", "accuracy")
    by_timestep = False

    def build(self, network: NetworkFactory, data: NoisingDataModule) -> CleanClassifier:
        if data.autoencoder is not None:
            raise InputError(
                f"data.autoencoder {data.autoencoder}: a judge reads pixels; leave it out"
            )
        channels, size, _ = data.codec.shape(data.image_shape)
        built = network(size, channels, len(data.class_names))
        return CleanClassifier(built, data.spec)

    def measure(self, model: CleanClassifier, batch: NoisyBatch) -> dict[str, Tensor]:
        return _classification(model.logits(batch.x0), batch.y)


def _spread(values: Tensor, count: int) -> Tensor:
    """Values of the first of `count` images as values of all, (count,), with the same mean."""
    return F.pad(values * (count / len(values)), (0, count - len(values)))


def _classification(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> dict[str, Tensor]:
    return {
        "loss": F.cross_entropy(logits, y, reduction="none", label_smoothing=smoothing),
        "accuracy": (logits.argmax(dim=-1) == y).float(),
    }
