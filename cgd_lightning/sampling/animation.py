"""`cgd sample --animate`: the denoising as a GIF.

x_t stands on the left and the predicted clean image on the right, under how it is guided.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from cgd_lightning.diffusion.codec import PIXELS, Codec
from cgd_lightning.diffusion.denoiser import Prediction
from cgd_lightning.diffusion.schedules import Level
from cgd_lightning.diffusion.targets import Target
from cgd_lightning.evaluation.plots import grid, grid_places
from cgd_lightning.sampling.caption import UNSAID, Caption

FRAMES = 60
"""At most so many evaluations are shown, evenly chosen, and the last one."""

MILLISECONDS, LAST = 80, 2000


class Animation:
    """Watches the first chunk of `generate` and keeps a frame of every few evaluations.

    targets: of that chunk. written: how their rows are called. evaluations: of the denoiser, about
    how many there will be. codec: of the denoiser.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        written: dict[Target, str],
        evaluations: int,
        codec: Codec = PIXELS,
        caption: Caption = UNSAID,
    ) -> None:
        self.codec, self.caption = codec, caption
        self.places = grid_places(targets, columns=5)
        self.names = caption.rows(written, self.places)
        self.every = -(-evaluations // FRAMES)
        self.seen = 0
        self.frames: list[Image.Image] = []
        self.newest: tuple[Tensor, Tensor] | None = None

    def __call__(self, start: int, x_t: Tensor, level: Level, prediction: Prediction) -> None:
        if start > 0:
            return
        self.newest = x_t / level.radius, prediction.x0
        if self.seen % self.every == 0:
            self._show_newest()
        self.seen += 1

    def _show_newest(self) -> None:
        if self.newest is not None:
            x_t, x0 = self.newest
            heading = self.caption.heading
            noisy = self._grid(x_t, heading and "noisy")
            self.frames.append(_beside(noisy, self._grid(x0, heading)))
            self.newest = None

    def _grid(self, images: Tensor, heading: str) -> Image.Image:
        bytes_ = self.codec.decode(images).cpu()
        return grid([bytes_[places] for places in self.places.values()], self.names, heading)

    def save(self, path: Path) -> None:
        """Write the frames to the file `path`; the last one is shown longer.

        It is that of the last evaluation.
        """
        self._show_newest()
        path.parent.mkdir(parents=True, exist_ok=True)
        durations = [MILLISECONDS] * (len(self.frames) - 1) + [LAST]
        self.frames[0].save(
            path,
            save_all=True,
            append_images=self.frames[1:],
            duration=durations,
            loop=0,
            comment=self.caption.comment(),
        )


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new(left.mode, (left.width + right.width, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both
