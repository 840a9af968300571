"""From a request to a job: find and read the files, check that they go together, load, bind."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgd_lightning import checkpoints
from cgd_lightning.checkpoints.calls import is_call, refusal
from cgd_lightning.checkpoints.classes import NO_TRUST, Trust
from cgd_lightning.checkpoints.foreign import own_classifier
from cgd_lightning.checkpoints.published import is_published, published_classifier
from cgd_lightning.diffusion.classifier import CleanClassifier, NoisyClassifier, in_space_of
from cgd_lightning.diffusion.denoiser import Denoiser
from cgd_lightning.diffusion.guidance import Chain, ClassifierGuidance, Rule
from cgd_lightning.diffusion.guidance.rule import singles
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.checks import check_labels, check_sampler, check_scales, check_start
from cgd_lightning.sampling.hardware import PRECISIONS, pick_device, pick_dtype
from cgd_lightning.sampling.job import Job
from cgd_lightning.sampling.low_res import read_low_res
from cgd_lightning.sampling.pair import Pair, Say, find_pair, silent
from cgd_lightning.sampling.request import Request


def resolve(
    request: Request,
    *,
    device: str | torch.device = "auto",
    trust: Trust | str | Sequence[str] = NO_TRUST,
    compile: bool = False,
) -> Job:
    """The job of `request`, its networks loaded on `device`.

    trust: packages whose classes the files may name. compile: torch.compile the networks. Raises
    InputError for files that are not there or do not go together, and for settings that do not.
    """
    if isinstance(device, str):
        device = pick_device(device)
    loader = Loader(device, Trust.of(trust), compile)
    return load_pair(request, find_pair(request), loader)


def sample(
    request: Request,
    *,
    device: str | torch.device = "auto",
    trust: Trust | str | Sequence[str] = NO_TRUST,
    compile: bool = False,
) -> Tensor:
    """The samples of `request`: data on the host, as uint8 (N, C, H, W).

    The options, and what is raised, are those of `resolve`, which gives a `Job` where networks are
    used more than once or chunks are wanted as they come.
    """
    return resolve(request, device=device, trust=trust, compile=compile).samples()


@dataclass
class Loader:
    """Loads models on `device`, and remembers which files it took. trust: what files may name."""

    device: torch.device
    trust: Trust = NO_TRUST
    compile: bool = False
    taken: dict[str, Path] = field(default_factory=dict)

    def denoiser(self, pair: Pair, weights: Any) -> Denoiser:
        """The diffusion model of `pair`."""
        denoiser = checkpoints.load(
            pair.path, Denoiser, weights=weights, device=self.device, trust=self.trust
        )
        return self._compiled(denoiser)

    def model(self, source: Any, pair: Pair, denoiser: Denoiser) -> Any:
        """The model that `source` means: that of a file, a published classifier, or one's own.

        It is for x0 of `denoiser`, the model of `pair`.
        """
        shape = denoiser.data.shape
        if isinstance(source, Mapping):
            own = own_classifier(source, shape, self.device, self.trust)
            return self._compiled(_fitted(own, denoiser, str(source["class_path"])))
        if is_published(str(source)):
            published = published_classifier(str(source), shape, self.device)
            return self._compiled(_fitted(published, denoiser, str(source)))
        if is_call(str(source)):
            raise refusal(str(source))
        file = checkpoints.find(source)
        checkpoints.check_shapes((pair.path, pair.card), (file, checkpoints.read(file)))
        self.taken[str(source)] = file
        found = checkpoints.load(file, device=self.device, trust=self.trust)
        return self._compiled(_fitted(found, denoiser, str(file)))

    def _compiled(self, model: Any) -> Any:
        if self.compile:
            model.network.compile(dynamic=False)
        return model


def _fitted(model: Any, denoiser: Denoiser, where: str) -> Any:
    """`model`; a classifier of clean images reads x0 of the denoiser through its codec."""
    if not isinstance(model, CleanClassifier):
        return model
    try:
        return in_space_of(model, denoiser.data.codec)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def load_pair(
    request: Request,
    pair: Pair,
    loader: Loader,
    lenient: Collection[str] = (),
    say: Say = silent,
) -> Job:
    """The job of `request`, whose files are `pair`.

    lenient: fields that nobody asked for now, so that their going unused is no mistake.
    """
    dtype = pick_dtype(request.precision, loader.device)
    denoiser = loader.denoiser(pair, request.weights)
    check_sampler(request, denoiser, str(pair.path))
    models = {name: loader.model(name, pair, denoiser) for name in pair.rule.models}
    for name, file in loader.taken.items():
        say(f"model in the guidance: {name} is {file}")
    files = _absolute(pair.rule, loader.taken)
    rule = request.rule(denoiser.data.codec).with_models(models)
    check_scales(rule)
    rule.check_denoiser(denoiser)
    if request.labels is not None and "labels" not in lenient:
        check_labels(request, rule, denoiser)
    check_start(request, rule, denoiser)
    if denoiser.conditional and NoisyClassifier in rule.guides:
        say(_told_twice(denoiser))
    if _saturates(request, denoiser):
        say(SATURATES)
    classifier = None if pair.classifier is None else loader.model(pair.classifier, pair, denoiser)
    small = read_low_res(request, denoiser, classifier)
    known = models | {files.get(name, name): model for name, model in models.items()}
    settled = _settled(request, pair, files, dtype)
    if small is None:
        return Job(settled, denoiser, classifier, known, dtype)
    return Job(settled, denoiser, classifier, known, dtype, small.targets, small.images)


SATURATES = (
    "note: nothing clamps latents, and a long first step at the highest noise saturates what is "
    "guided there; leave that out by weight=Interval(-4, 12), or take sampler=DPMSolverSDE(20)"
)

LONG = 3.0
"""How many times alpha may grow in the first step: an error of x0 there grows by as much."""


def _saturates(request: Request, denoiser: Denoiser) -> bool:
    """Whether guidance at the noisiest level makes much of an x0 that has no bounds."""
    if denoiser.data.codec.bounds is not None or not request.strength:
        return False
    terms = [each for each in singles(Chain(request.rules)) if isinstance(each, ClassifierGuidance)]
    levels = request.levels(denoiser.schedule)
    first, second = levels[0], levels[-1 if len(levels) == 1 else 1]  # one, where nothing is edited
    guided = any(each.weight is None or each.weight(first) for each in terms)
    return guided and 0 < LONG * first.alpha < second.alpha


def _told_twice(denoiser: Denoiser) -> str:
    free = "guidance=ClassifierFree scale=S guides without one, "
    return (
        "note: this diffusion model is told the class itself, and the classifier counts it again; "
        f"{'' if denoiser.null_label is None else free}scale=0 is the model alone"
    )


def _settled(request: Request, pair: Pair, files: Mapping[str, str], dtype: torch.dtype) -> Request:
    """`request` with what it left open: absolute paths of the files, the scale, the precision."""
    classifier = pair.classifier
    rules = tuple(rule.with_models(files) for rule in request.rules)
    settled = replace(
        request,
        ckpt=str(pair.path.absolute()),
        classifier=str(classifier.absolute()) if isinstance(classifier, Path) else classifier,
        low_res=None if request.low_res is None else str(Path(request.low_res).absolute()),
        guidance=rules[0] if isinstance(request.guidance, Rule) else rules,
        precision=next(name for name, value in PRECISIONS.items() if value == dtype),
    )
    return settled.scaled()


def _absolute(rule: Rule, taken: Mapping[str, Path]) -> dict[str, str]:
    """The absolute path of every file that `rule` names, also where it is off."""
    files = {}
    for name in rule.names:
        try:
            file = None if is_published(name) else taken.get(name) or checkpoints.find(name)
        except InputError:  # of a rule that is off
            file = None
        if file is not None:
            files[name] = str(file.absolute())
    return files
