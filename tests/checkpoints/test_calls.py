"""Calls that stand in records of earlier versions."""

from pathlib import Path
from typing import Any

import pytest

from cgd_lightning.checkpoints.calls import is_call, refusal, translated, without_calls
from cgd_lightning.checkpoints.published import find_published
from cgd_lightning.errors import InputError
from tests.checkpoints.timm_stand_in import stand_in

CALLS = {
    "torchvision.models.shufflenet_v2_x0_5(num_classes=12)": "torchvision:"
    "shufflenet_v2_x0_5.untrained:12",
    "torchvision.models.resnet18()": "torchvision:resnet18.untrained",
    "torchvision.models.resnet18(weights=None)": "torchvision:resnet18.untrained",
    "torchvision.models.resnet18(weights=DEFAULT)": "torchvision:resnet18",
    " torchvision.models.resnet18( weights = 'DEFAULT' , progress=False )": "torchvision:resnet18",
    "torchvision.models.resnet50(weights=IMAGENET1K_V2)": "torchvision:resnet50.IMAGENET1K_V2",
    "torchvision.models.resnet50(weights='ResNet50_Weights.IMAGENET1K_V2')": "torchvision:"
    "resnet50.IMAGENET1K_V2",
    "torchvision.models.get_model(resnet18, weights=DEFAULT)": "torchvision:resnet18",
    "torchvision.models.get_model(name='resnet18')": "torchvision:resnet18.untrained",
    "timm.create_model(net, pretrained=True)": "timm:net",
    "timm.create_model(net, True)": "timm:net",
    "timm.create_model('net.a', pretrained=True)": "timm:net.a",
    "timm.create_model('net.a')": "timm:net.untrained",
    "timm.models.create_model(net, num_classes=9)": "timm:net.untrained:9",
    "timm.models.net(pretrained=True)": "timm:net",
    "timm.net(pretrained=False)": "timm:net.untrained",
}

NO_NAMES = [
    "torchvision.models.shufflenet_v2_x0_5(num_classes=1000000000)",
    "torchvision.models.resnet18(weights=DEFAULT, num_classes=12)",
    "torchvision.models.resnet18(weights=IMAGENET1K_V7)",
    "torchvision.models.resnet18(pretrained=True)",
    "torchvision.models.resnet18(norm_layer=x)",
    "torchvision.models.resnet7()",
    "torchvision.models.get_model()",
    "torchvision.models.get_model(fcn_resnet50)",
    "torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights_backbone=None)",
    "torchvision.models._api.load_state_dict_from_url('file:ran.pt')",
    "torchvision.io.read_file(x)",
    "torch.nn.Linear(3, 4)",
    "torch.load('ran.pt')",
    "os.system('touch ran')",
    "foreign_guide.net(10)",
    "timm.load_state_dict('evil.pth')",
    "timm.create_model(net, checkpoint_path='evil.pth')",
    "timm.create_model(net, in_chans=1)",
    "timm.create_model(net, True, {'file': 'evil.pth'})",
    "timm.create_model('hf-hub:evil/net', pretrained=True)",
    "torchvision.models.resnet18()()",
    "torchvision.models.resnet18(num_classes=12" + ")" * 10**5,
    "torchvision.models.resnet18(" + "progress=True," * 10**5 + ")",
]


def test_a_call_of_a_published_classifier_becomes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch)
    for call, name in CALLS.items():
        assert is_call(call)
        assert translated(call) == name
        assert find_published(name)
        assert str(refusal(call)).endswith(f"calls are not made any more; give {name}")


@pytest.mark.parametrize("call", NO_NAMES, ids=lambda call: call[:60])
def test_any_other_call_has_no_name_and_is_not_made(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stand_in(tmp_path, monkeypatch)
    assert is_call(call)
    assert translated(call) is None
    with pytest.raises(InputError, match="calls are not made any more; give a published") as caught:
        without_calls({"guidance": [{"init_args": {"classifier": call}}]})
    assert len(str(caught.value)) < 1500
    assert not Path("ran").exists()


def test_a_call_is_translated_where_its_library_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cgd_lightning.checkpoints.calls.find_spec", lambda _: None)
    assert translated("timm.create_model(resnet18, pretrained=True)") == "timm:resnet18"


def test_paths_and_names_are_no_calls() -> None:
    for name in ("runs/judge", "runs/judge (2)", "mine.MyNet", "torchvision:resnet18", "a.b/c()"):
        assert not is_call(name)


def test_a_record_is_read_with_names_in_place_of_its_calls() -> None:
    call, name = "torchvision.models.resnet18()", "torchvision:resnet18.untrained"

    def record(classifier: str) -> dict[str, Any]:
        rule = {"class_path": "Attribute", "init_args": {"classifier": classifier, "label": call}}
        return {
            "classifier": classifier,
            "labels": call,
            "guidance": [rule, {"class_path": "Autoguidance", "init_args": {"weak": "runs/a"}}],
            "scale": None,
        }

    assert without_calls(record(call)) == record(name)
    assert without_calls(record("runs/judge")) == record("runs/judge")
