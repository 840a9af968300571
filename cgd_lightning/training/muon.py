"""Muon for matrices and kernels, AdamW for the rest: one optimiser for a whole network.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) makes of the averaged gradient
of a matrix the nearest orthogonal one, so that all directions learn alike. A convolution's kernel
counts as a matrix, a row an output channel. Updates are scaled to the size of AdamW's (Liu et al.
2025, arXiv:2502.16982, section 2.2), so that both share a learning rate and a weight decay.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from cgd_lightning.errors import InputError


class MuonAdamW(Optimizer):
    """`torch.optim.Muon` for parameters of two or more dimensions, `torch.optim.AdamW` for others.

    Args:
        params: the parameters of a network.
        lr: learning rate of both.
        momentum: of Muon.
        betas: of AdamW.
        weight_decay: of both, times the learning rate.

    Raises InputError for a torch without Muon, before 2.9.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 2e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.05,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise InputError(f"MuonAdamW: wants torch 2.9 or later; this is {torch.__version__}")
        given = list(params)
        matrices = [p for p in given if p.ndim >= 2]
        others = [p for p in given if p.ndim < 2]
        groups: list[dict[str, Any]] = []
        self._muon: Optimizer | None = None
        self._adamw: Optimizer | None = None
        if matrices:
            self._muon = torch.optim.Muon(
                [_matrix(p, p) for p in matrices],
                lr=lr,
                weight_decay=weight_decay,
                momentum=momentum,
                adjust_lr_fn="match_rms_adamw",
            )
            groups.append(self._muon.param_groups[0] | {"params": matrices})
        if others:
            self._adamw = AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay)
            groups.append(self._adamw.param_groups[0])
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = iter(self.param_groups)
        if self._muon is not None:
            self._step_muon(next(groups))
        if self._adamw is not None:
            # What was loaded stands in this optimiser.
            self._adamw.param_groups, self._adamw.state = [next(groups)], self.state
            self._adamw.step()
        return loss

    def _step_muon(self, group: dict[str, Any]) -> None:
        assert self._muon is not None
        matrices = []
        for p in group["params"]:
            if p.grad is None:
                continue
            momentum = self.state[p].get("momentum_buffer")
            if momentum is None:
                momentum = torch.zeros_like(p)
            if momentum.stride() != p.stride():  # as it may have been loaded
                momentum = torch.empty_like(p).copy_(momentum)
            self.state[p]["momentum_buffer"] = momentum
            matrix = _matrix(p, p)
            matrix.grad = _matrix(p.grad, p)
            self._muon.state[matrix] = {"momentum_buffer": _matrix(momentum, p)}
            matrices.append(matrix)
        self._muon.param_groups = [group | {"params": matrices}]
        self._muon.step()
        self._muon.state.clear()


def _matrix(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor`, of the shape of `like`, with one row for each output: where `like` lies, a view."""
    rows = tensor.detach()
    if not like.is_contiguous():  # channels last
        rows = rows.movedim(1, -1)
    return rows.reshape(len(rows), -1)
