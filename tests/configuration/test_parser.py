"""What a wrong value on the command line is answered with."""

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from cgd_lightning.configuration.parser import allow_imports, one_line
from cgd_lightning.training.module import TrainingModule

BEGIN = ["--model=cgd_lightning.ClassifierModule", "--model.network=cgd_lightning.NoisyConvNet"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--model.score_weight=abc", "model.score_weight: 'abc' is not a float"),
        ("--model.score_weight=nan", "model.score_weight: 'nan' is not a float"),
        ("--model.gradient_images=x", "model.gradient_images: 'x' is not a int"),
        ("--model.network.width=2.5", "model.network.width: '2.5' is not a int"),
        ("--model.network.pooling=max", "model.network.pooling: 'max' is none of mean, flatten"),
        ("--model.decay=slow", "model.decay: 'slow' is none of constant, linear, cosine"),
        ("--model.network=Foo", "model.network: no class 'Foo'; give one of the known names"),
    ],
)
def test_a_value_that_is_none_of_its_kind_is_named_with_its_whole_key(
    option: str, said: str
) -> None:
    allow_imports({"cgd_lightning"})
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(TrainingModule, "model")
    with pytest.raises(ArgumentError) as caught:
        parser.parse_args([*BEGIN, option])
    assert one_line(str(caught.value)).startswith(said)
