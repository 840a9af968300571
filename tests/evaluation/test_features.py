import torch

from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.diffusion.data_spec import DataSpec
from cgd_lightning.diffusion.schedules import Linear
from cgd_lightning.evaluation.features import GuideFeatures, JudgeFeatures
from cgd_lightning.networks import ConvNet, MLPClassifier

DATA = DataSpec((1, 8, 8), tuple("abc"))


def test_a_judge_looks_once_and_its_features_make_its_logits() -> None:
    judge = CleanClassifier(ConvNet(8, 1, 3, width=4), DATA).eval()
    images = torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8)
    seen = JudgeFeatures(judge, batch_size=7)(images)
    features, classes = seen.features, seen.classes
    assert features.shape == (20, 16)
    logits = judge.logits(PIXELS.encode(images))
    torch.testing.assert_close(judge.logits_from(features), logits)
    assert torch.equal(classes, logits.argmax(-1))
    assert not features.requires_grad


def test_a_guide_looks_at_clean_images_at_its_least_noisy_timestep() -> None:
    guide = NoisyClassifier(MLPClassifier(8, 1, 3, width=16), Linear(), DATA).eval()
    images = torch.randint(256, (9, 1, 8, 8), dtype=torch.uint8)
    seen = GuideFeatures(guide, batch_size=4)(images)
    logits, classes = seen.features, seen.classes
    torch.testing.assert_close(logits, guide.logits(PIXELS.encode(images), torch.zeros(9)))
    assert torch.equal(classes, logits.argmax(-1))


def test_a_feature_network_is_a_value() -> None:
    """So that whoever keeps a reference can see whether it is still of the same network."""
    judge, other = (CleanClassifier(ConvNet(8, 1, 3, width=4), DATA) for _ in range(2))
    assert JudgeFeatures(judge, "runs/judge") == JudgeFeatures(judge, "runs/judge")
    assert JudgeFeatures(judge, "runs/judge") != JudgeFeatures(other, "runs/judge")
