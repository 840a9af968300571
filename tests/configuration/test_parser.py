"""What a wrong value on the command line is answered with."""

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from cgd_lightning.configuration.one_line import one_line
from cgd_lightning.configuration.trusted import allow_imports
from cgd_lightning.diffusion.denoiser import PredictionType
from cgd_lightning.diffusion.guidance import Rule
from cgd_lightning.diffusion.samplers import Sampler
from cgd_lightning.training.module import TrainingModule

BEGIN = ["--model=cgd_lightning.ClassifierModule", "--model.network=cgd_lightning.NoisyConvNet"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--model.score_weight=abc", "model.score_weight: 'abc' is not a float"),
        ("--model.score_weight=nan", "model.score_weight: 'nan' is not a float"),
        ("--model.gradient_images=x", "model.gradient_images: 'x' is not an int"),
        ("--model.network.width=2.5", "model.network.width: '2.5' is not an int"),
        ("--model.network.pooling=max", "model.network.pooling: 'max' is none of mean, flatten"),
        ("--model.decay=slow", "model.decay: 'slow' is none of constant, linear, cosine"),
        ("--model.network=Foo", "model.network: no class 'Foo'; give ConvAutoencoder, "),
        ("--model.network=unet", "model.network: no class 'unet'; did you mean UNet?"),
        (
            "--model.network=pathlib.Pth",
            "model.network: no class 'pathlib.Pth': module pathlib has no 'Pth'; did you mean "
            "pathlib.Path?",
        ),
        (
            "--model.network=nowhere.Net",
            "model.network: no class 'nowhere.Net': no module nowhere is in this folder or",
        ),
        (
            "--model.lr=3",
            "model.lr: ClassifierModule has no option 'lr'; did you mean model.optimizer.lr?",
        ),
        (
            "--model.network.widht=3",
            "model.network.widht: NoisyConvNet has no option 'widht'; did you mean "
            "model.network.width?",
        ),
    ],
)
def test_a_value_that_is_none_of_its_kind_is_named_with_its_whole_key(
    option: str, said: str
) -> None:
    allow_imports({"cgd_lightning", "nowhere", "pathlib"})
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(TrainingModule, "model")
    with pytest.raises(ArgumentError) as caught:
        parser.parse_args([*BEGIN, option])
    assert one_line(str(caught.value)).startswith(said)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--sampler=ddim", "sampler: no class 'ddim'; did you mean DDIM?; give AnnealedLangevin, "),
        ("--sampler=nowhere.Own", "sampler: no class 'nowhere.Own': no module nowhere is in this"),
        (
            "--sampler=pathlib.Pth",
            "sampler: no class 'pathlib.Pth': module pathlib has no 'Pth'; did",
        ),
        ("--prediction=noise", "prediction: 'noise' is none of eps, x0, v; did you mean eps?"),
        ("--rule=classifierfree", "rule: 'classifierfree' is not a Rule; did you mean Classifier"),
    ],
)
def test_a_name_of_others_is_answered_with_ours(option: str, said: str) -> None:
    allow_imports({"cgd_lightning", "nowhere", "pathlib"})
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Sampler, "sampler", default={"class_path": "DDIM"})
    parser.add_argument("--prediction", type=PredictionType)
    parser.add_argument("--rule", type=Rule | list[Rule])
    with pytest.raises(ArgumentError) as caught:
        parser.parse_args([option])
    assert one_line(str(caught.value)).startswith(said)


def test_each_of_several_unknown_options_is_answered() -> None:
    said = one_line(
        "Unrecognized arguments: --guidance_scale 3 --num_inference_steps=20 --wingspan 3",
        ["--scale", "--sampler", "--sampler.help"],
    )
    meant = "--scale for --guidance_scale, --sampler.steps for --num_inference_steps"
    assert said.endswith(f"; did you mean {meant}?")
