"""Edits from Python: a request with a start, its record, and what classifiers say of the result."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cgd_lightning import DDIM, DDPM, DataSpec, Edits, Request, Start, edit, resolve, sample
from cgd_lightning.checkpoints.classes import NO_TRUST
from cgd_lightning.diffusion.classifier import CleanClassifier
from cgd_lightning.diffusion.codec import PIXELS
from cgd_lightning.errors import InputError
from cgd_lightning.networks import ConvNet
from cgd_lightning.sampling.edit import edits_of
from cgd_lightning.sampling.edits import Verdicts
from cgd_lightning.sampling.record import read_options, read_request, write_record
from cgd_lightning.sampling.request import RequestError
from tests.diffusion.test_generate import randomised

Cgd = Callable[..., tuple[int, str, str]]

FEW = Request(
    "runs/diffusion",
    labels="9",
    scale=5,
    sampler=DDIM(4),
    precision="fp32",
    start=Start(0.4, source="3,4"),
)


def digits(count: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)


def test_a_request_with_a_start_edits_images_and_says_what_became_of_them(workplace: Path) -> None:
    images = digits()
    masks = torch.zeros(1, 1, *images.shape[-2:], dtype=torch.uint8)
    masks[..., :4] = 1
    edits = edit(FEW, images, masks, device="cpu")
    assert torch.equal(edits.originals, images)
    assert torch.equal(edits.edited[..., 4:], images[..., 4:])
    assert not torch.equal(edits.edited[..., :4], images[..., :4])
    assert edits.targets == [9] * 5
    assert edits.difference.dtype == torch.int16
    assert torch.equal(images + edits.difference, edits.edited.to(torch.int16))
    error = (edits.edited.float() - images.float()).abs()
    torch.testing.assert_close(edits.distance, error.mean(dim=(1, 2, 3)))
    job = resolve(FEW, device="cpu")
    guide = job.classifier
    assert guide is not None
    assert edits.guide is not None
    least = guide.schedule.level(0)
    for said, of in ((edits.guide.before, images), (edits.guide.after, edits.edited)):
        x0 = PIXELS.encode(of)
        wanted = guide.log_prob(least.alpha * x0, torch.zeros(5))
        torch.testing.assert_close(said, wanted.detach())
    assert edits.guide.log_p[1].tolist() == edits.guide.after[:, 9].tolist()
    assert edits.judge is None


def test_a_loaded_job_edits_at_other_strengths_and_in_parts(workplace: Path) -> None:
    images = digits()
    job = resolve(replace(FEW, batch_size=2), device="cpu").editing(images)
    assert job.total == job.request.num_samples == 5
    for start in (Start(0), Start(0.8, "noise")):
        found = edits_of(job.again(start=start))
        wanted = edit(replace(FEW, batch_size=2, start=start), images, device="cpu")
        assert torch.equal(found.edited, wanted.edited)
    whole = dict(job)
    rest = dict(job.chunks(skip={0}))
    assert list(rest) == [2, 4]
    assert all(torch.equal(chunk, whole[first]) for first, chunk in rest.items())
    assert torch.equal(edits_of(job.again(start=Start(0))).edited, images)
    with pytest.raises(RequestError, match="num_samples is that of the images"):
        job.again(num_samples=3)
    with pytest.raises(RequestError, match="a job of samples: give it images"):
        edits_of(resolve(FEW, device="cpu"))


def test_without_labels_an_image_becomes_anything_but_what_it_shows(workplace: Path) -> None:
    images = digits()
    away = edit(replace(FEW, labels=None), images, device="cpu")
    said = edit(replace(FEW, labels="!3,!4"), images, device="cpu")
    assert away.targets == said.targets
    assert torch.equal(away.edited, said.edited)
    assert away.targets[1] == tuple(float(k != 4) for k in range(10))


def test_without_guidance_no_class_is_asked_and_none_is_told(workplace: Path) -> None:
    request = replace(FEW, labels=None, scale=0, start=Start(0.4, refinements=1), clamp="off")
    edits = edit(request, digits(), device="cpu")
    assert edits.targets is None
    assert edits.guide is None
    assert edit(replace(FEW, start=None), digits(2), device="cpu").edited.shape[0] == 2


def test_a_judge_says_what_it_sees_in_the_same_classes() -> None:
    names = ("a", "b", "c")
    judge = CleanClassifier(randomised(ConvNet(8, 1, 3), 4), DataSpec((1, 8, 8), names))
    generator = torch.Generator().manual_seed(0)
    before, after = torch.randint(0, 256, (2, 6, 1, 8, 8), dtype=torch.uint8, generator=generator)
    edits = Edits(before, after, [0, 1, 2, 0, (1.0, 1.0, 0.0), 2]).judged(judge, batch_size=4)
    said = edits.judge
    assert said is not None
    wanted = judge.logits(PIXELS.encode(after)).log_softmax(-1)
    torch.testing.assert_close(said.after, wanted)
    shown = wanted.argmax(1).tolist()
    asked = [{0}, {1}, {2}, {0}, {0, 1}, {2}]
    assert said.met.tolist() == [k in wanted for k, wanted in zip(shown, asked)]
    either = wanted[4, :2].logsumexp(0)
    torch.testing.assert_close(said.log_p[1][4], either)
    other = CleanClassifier(randomised(ConvNet(8, 1, 2), 4), DataSpec((1, 8, 8), ("a", "d")))
    guided = replace(edits, guide=said)
    with pytest.raises(InputError, match="the judge knows the classes a, d, and the guiding"):
        guided.judged(other)
    with pytest.raises(InputError, match=r"images of shape \[1, 4, 4\]: this classifier knows"):
        Edits(before[..., :4, :4], after[..., :4, :4], None).judged(judge)
    with pytest.raises(InputError, match="no targets"):
        _ = Verdicts(names, said.before, said.after, None).met


def test_a_record_of_an_edit_comes_back_and_cgd_sample_does_not_take_it(
    workplace: Path, cgd: Cgd
) -> None:
    words = ",".join(str(k % 10) for k in range(6000))
    request = replace(FEW, scale=None, labels=words, start=Start(0.25, source=words, refinements=3))
    assert Request.from_plain(request.to_plain()) == request
    assert hash(request) != hash(replace(request, start=Start(0.3)))
    Path("edits.json").write_text(json.dumps(write_record(request)))
    assert read_request("edits.json") == request
    code, _, err = cgd("sample", "--from=edits.json")
    assert code != 0
    assert "--from: records an edit of images, not samples; cgd edit makes it again" in err
    assert err.count("\n") == 1
    assert "start" not in replace(request, start=None).to_plain()


RECORDS = {
    "start: strength 2: wanted a share": {"strength": 2},
    "start: the unknown entry 'where'": {"where": 1},
    "start: a list, where a mapping was wanted": [],
    "start: a list, where a string was wanted": {"source": ["3"]},
    "start: by": {"by": ["noise"]},
}


@pytest.mark.parametrize(("says", "start"), RECORDS.items(), ids=RECORDS)
def test_a_record_says_nothing_else_of_a_start(says: str, start, tmp_path: Path) -> None:
    file = tmp_path / "edits.json"
    file.write_text(json.dumps({"options": {"start": start}}))
    with pytest.raises(InputError, match=says):
        read_options(file, NO_TRUST)


WRONG = {
    "what shall the images become": {"labels": None, "start": Start(0.4)},
    "label x: wanted a class name": {"labels": "x"},
    "label y: wanted a class name": {"start": Start(0.4, source="y")},
    "start.strength 0.002: that is 2 of 1000 timesteps, too few for 4": {"start": Start(0.002)},
    "start.source 3: is for an inversion": {"start": Start(0.4, "noise", source="3")},
    "start.resamplings 2: a step of DDPM": {
        "start": Start(resamplings=2),
        "sampler": DDPM(4, mean_shift=True),
        "clamp": "inside",
    },
}


@pytest.mark.parametrize(("says", "changes"), WRONG.items(), ids=WRONG)
def test_an_edit_that_cannot_be_made_is_refused(says: str, changes: dict, workplace: Path) -> None:
    with pytest.raises(InputError, match=says) as told:
        edit(replace(FEW, **changes), digits(), device="cpu")
    assert "--" not in str(told.value)


def test_wrong_images_are_refused(workplace: Path) -> None:
    job = resolve(FEW, device="cpu")
    with pytest.raises(InputError, match="this diffusion model makes"):
        job.editing(digits()[..., :5])
    with pytest.raises(InputError, match="wanted uint8"):
        job.editing(digits().float())
    with pytest.raises(InputError, match="images: of type ndarray; wanted a torch tensor"):
        job.editing(digits().numpy())  # type: ignore[arg-type]  # as a user may
    with pytest.raises(InputError, match="masks: of type ndarray; wanted a torch tensor"):
        job.editing(digits(), np.ones((5, 1, 16, 16), dtype=bool))  # type: ignore[arg-type]  # too
    with pytest.raises(InputError, match="masks: bool of shape"):
        job.editing(digits(), torch.ones(5, 1, 3, 3, dtype=torch.bool))
    with pytest.raises(RequestError, match=r"start 0\.5: wanted a Start"):
        replace(FEW, start=0.5)
    with pytest.raises(InputError, match="wanted images"):
        sample(FEW, device="cpu")
