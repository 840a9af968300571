"""The networks by which `cgd evaluate` looks."""

from dataclasses import dataclass, replace
from typing import Any

from jsonargparse import Namespace

from cgd_lightning import checkpoints
from cgd_lightning.commands.evaluate_options import JUDGE
from cgd_lightning.configuration.gate import Gate
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import FeatureNetwork, JudgeFeatures
from cgd_lightning.evaluation.networks.named import feature_network
from cgd_lightning.sampling.hardware import pick_device
from cgd_lightning.sampling.sources import Shape


@dataclass(frozen=True)
class Eyes:
    """The networks that look. image_shape: that the judge was trained on; None without a judge."""

    features: FeatureNetwork
    judge: JudgeFeatures | None
    image_shape: Shape | None

    def class_names(self, data: Any) -> tuple[str, ...]:
        """The names of the classes that images may be asked for."""
        if self.judge is not None:
            return self.judge.class_names
        return tuple(data.class_names) if data is not None else ()


def eyes_of(settings: Namespace, gate: Gate) -> Eyes:
    """The networks that the user names. Raises InputError for what is none, or no judge."""
    device, judge = pick_device(settings.device), None
    shape: Any = None
    if settings.judge is not None:
        path = checkpoints.find(settings.judge)
        card = checkpoints.read(path)
        checkpoints.check_kind((path, card), CleanClassifier)
        network = checkpoints.load(path, CleanClassifier, device=device, trust=gate.trust)
        judge, shape = JudgeFeatures(network, f"{path}"), tuple(card.image_shape)
    if settings.features == JUDGE and settings.weights is not None:
        raise InputError(f"--weights {settings.weights}: the judge has its own; give --features")
    features: FeatureNetwork | None = judge
    if settings.features != JUDGE:
        features = feature_network(settings.features, settings.weights, device)
    assert features is not None
    if settings.batch_size is not None:
        features = replace(features, batch_size=settings.batch_size)
    return Eyes(features, judge, shape)
