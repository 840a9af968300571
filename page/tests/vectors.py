"""What Python says of noise, levels, steps and targets: `vectors.json`, for the page's unit tests.

python page/tests/vectors.py OUT
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from cgd_lightning.diffusion.denoiser import Prediction
from cgd_lightning.diffusion.guidance import Clamp
from cgd_lightning.diffusion.level import Level
from cgd_lightning.diffusion.noise import SeededNoise, philox
from cgd_lightning.diffusion.samplers import DDIM
from cgd_lightning.diffusion.schedules import Cosine, Linear, NoiseSchedule, VarianceExploding
from cgd_lightning.diffusion.start import Start
from cgd_lightning.diffusion.targets import parse_target
from cgd_lightning.errors import InputError

DIGITS = [str(digit) for digit in range(10)]
SIGNED = ["cat", "3|7", "a, b", "!", 'say "x"', "2*cat", "1"]
SHARES = [0.1, 0.2, 0.3, 0.1, 0.1, 0.2, 0.0]
WRITTEN = [
    *("3", " 3 ", "3|7", "!3", "!3|7", "3+7", "2*3+7", ".5*3 + 1.5*7 + 3", "3+3", "12", "", "!"),
    *("3|", "+3", "0*3+0*7", "cat", "2*cat", "2*cat+cat", '"3|7"', '!"3|7"', '"a, b"|cat', "a, b"),
    *('"say ""x"""', '"cat', "!3|7", "1", "01", "1+cat", "999999999999", "0|1|2|3|4|5|6|7|8|9"),
    *("!0|1|2|3|4|5|6|7|8|9", "3||7", "3 | 7", "2 * 3 + 7", "1|01", "²"),
]


def main(out: Path) -> None:
    """Write all vectors to `out`."""
    vectors = {
        "philox": _philox(),
        "noise": _noise(),
        "levels": [_levels(each) for each in (Cosine(), Linear(50), VarianceExploding(100))],
        "walked": [[s, n, round(s * n)] for s in (0.1, 0.25, 0.35, 0.5, 1) for n in (10, 50, 1000)],
        "meeting": [_meeting(Cosine(), Linear(50)), _meeting(VarianceExploding(100), Cosine())],
        "ddim": _ddim(),
        "targets": [_targets(DIGITS, []), _targets(SIGNED, SHARES)],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(vectors), encoding="utf-8")


def _philox() -> list[dict[str, Any]]:
    words = [[0] * 6, [2**32 - 1] * 6, [1, 2, 3, 4, 5, 6], [0x243F6A88, 0x85A308D3, 0, 9, 77, 0]]
    return [
        {
            "counter": [a, b, c, d],
            "key": [low, high],
            "words": [
                word.item() for word in philox(torch.tensor([a, b, c, d])[:, None], (low, high))
            ],
        }
        for a, b, c, d, low, high in words
    ]


def _noise() -> list[dict[str, Any]]:
    made = []
    for seed, index, size in (
        (0, [0, 1, 2, 3], 256),
        (2**32 - 1, [7], 9),
        (2**40 + 5, [2**33], 12),
    ):
        noise = SeededNoise(seed, torch.tensor(index), (size,))
        draws = [noise().flatten().tolist() for _ in range(3)]
        made.append({"seed": seed, "index": index, "size": size, "draws": draws})
    return made


def _levels(schedule: NoiseSchedule) -> dict[str, Any]:
    walks = [(steps, None) for steps in (1, 2, 7, 20)] + [(7, round(0.35 * schedule.timesteps))]
    return {
        **_schedule(schedule),
        "walks": [
            {
                "steps": steps,
                "timesteps": timesteps,
                "levels": schedule.levels(steps, DDIM().spacing, timesteps),
            }
            for steps, timesteps in walks
        ],
        "edit": Start(strength=0.35, by="noise").levels(DDIM(steps=7), schedule),
    }


def _schedule(schedule: NoiseSchedule) -> dict[str, Any]:
    alpha, sigma = schedule.tables()
    exploding = isinstance(schedule, VarianceExploding)
    between = f"variance {'exploding' if exploding else 'preserving'}"
    return {"between": between, "alpha": alpha.tolist(), "sigma": sigma.tolist()}


def _meeting(denoiser: NoiseSchedule, classifier: NoiseSchedule) -> dict[str, Any]:
    """The classifier's timestep at levels of the denoiser, and by what x_t is multiplied."""
    way = denoiser.levels(9)[:-1]
    times = [classifier.timestep(level.log_snr) for level in way]
    met = [(t, classifier.level(t).radius / level.radius) for t, level in zip(times, way)]
    return {"schedule": _schedule(classifier), "levels": way, "met": met}


def _ddim() -> list[dict[str, Any]]:
    cases = []
    generator = torch.Generator().manual_seed(0)
    for schedule in (Cosine(), VarianceExploding(100)):
        for eta in (0.0, 0.5, 1.0):
            for step in (0, 3, 6):
                way = schedule.levels(7)[step : step + 2]
                cases.append(_step(way, eta, generator))
    return cases


def _step(way: list[Level], eta: float, generator: torch.Generator) -> dict[str, Any]:
    """One step from x0 and eps that are the networks', before the clamp."""
    x0, eps, z = (torch.randn(1, 1, 4, 4, generator=generator) for _ in range(3))
    x = way[0].alpha * x0 + way[0].sigma * eps

    def denoise(x_t: torch.Tensor, level: Level) -> Prediction:
        return Prediction(x0, eps)

    clamped = Clamp().bind(denoise, None, torch.zeros(1, dtype=torch.int64))
    (below,) = DDIM(eta=eta).walk(clamped, x, way, lambda: z)
    names = {"x_t": x, "x0": x0, "eps": eps, "z": z, "below": below}
    return {
        "levels": way,
        "eta": eta,
        **{name: value.flatten().tolist() for name, value in names.items()},
    }


def _targets(names: list[str], shares: list[float]) -> dict[str, Any]:
    meant: dict[str, list[float] | None] = {}
    for word in WRITTEN:
        try:
            target = parse_target(word.strip(), names, shares)
            one = [float(k == target) for k in range(len(names))]
            meant[word] = one if isinstance(target, int) else list(target)
        except InputError:
            meant[word] = None
    return {"names": names, "shares": shares, "meant": meant}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
