"""A training from Python warns of nothing that is meant to be so."""

import warnings
from functools import partial

from lightning.pytorch import Trainer

from cgd_lightning import ClassifierModule, Digits, MLPClassifier, quieten


def warned(quiet: bool) -> list[str]:
    """What a short training with a validation warns of."""
    bare = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar"], False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if quiet:
            quieten()
        trainer = Trainer(max_steps=2, accelerator="cpu", enable_model_summary=False, **bare)
        module = ClassifierModule(partial(MLPClassifier, width=8, depth=1))
        trainer.fit(module, datamodule=Digits(image_size=4))
    return [str(warning.message) for warning in caught]


def test_quieten_leaves_out_what_is_meant() -> None:
    assert any("eval mode" in message for message in warned(quiet=False))
    assert warned(quiet=True) == []
