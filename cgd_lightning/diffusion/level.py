"""Noise levels: where a sampler stands, in plain Python floats.

    x_t = alpha x0 + sigma eps,    log_snr = log(alpha^2 / sigma^2)

in the notation of Kingma et al. 2021 (arXiv:2107.00630).
"""

import math
from typing import NamedTuple


class Level(NamedTuple):
    """A noise level: x = alpha x0 + sigma eps.

    `t` is the timestep that a network is told, None where none is asked.
    """

    alpha: float
    sigma: float
    t: float | None

    @property
    def angle(self) -> float:
        """atan2(sigma, alpha), in [0, pi/2]."""
        return math.atan2(self.sigma, self.alpha)

    @property
    def radius(self) -> float:
        """sqrt(alpha^2 + sigma^2): 1 in a variance-preserving process."""
        return math.hypot(self.alpha, self.sigma)

    @property
    def log_snr(self) -> float:
        """log(alpha^2 / sigma^2), infinite at the clean level."""
        if self.sigma == 0:
            return math.inf
        return 2 * math.log(self.alpha / self.sigma) if self.alpha > 0 else -math.inf


CLEAN = Level(1.0, 0.0, None)
