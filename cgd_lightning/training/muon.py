"""Muon for matrices and kernels, AdamW for the rest: one optimiser for a whole network.

    momentum <- mu momentum + (1 - mu) gradient,   direction = mu momentum + (1 - mu) gradient
    weights <- (1 - lr decay) weights - lr 0.2 sqrt(max(rows, columns)) orthogonal(direction)

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) makes of the averaged gradient
of a matrix nearly the closest orthogonal one, so that all directions learn alike. A convolution's
kernel counts as a matrix, a row an output channel. Updates are scaled to the size of AdamW's (Liu
et al. 2025, arXiv:2502.16982, section 2.2), so that both share a learning rate and a weight decay.

`torch.optim.Muon` computes the same, in bfloat16 and one matrix after the other: where a processor
has no bfloat16, a step of a small network takes longer than its forward and backward pass.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

QUINTIC = (3.4445, -4.7750, 2.0315)
"""a, b, c of x <- a x + b x^3 + c x^5, which brings 0.002 to 1 near 1 in five rounds."""

ROUNDS = 5


class MuonAdamW(Optimizer):
    """Muon for parameters of two or more dimensions, `torch.optim.AdamW` for others.

    Args:
        params: the parameters of a network.
        lr: learning rate of both, at least 0.
        momentum: share of the averaged gradient that Muon keeps in a step, from 0 to below 1.
        betas: shares of AdamW's averages, of gradients and of their squares, from 0 to below 1.
        weight_decay: weight decay of both, at least 0, times the learning rate.

    Raises ValueError for a negative learning rate or weight decay, and for a momentum outside 0 to
    1.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 2e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.05,
    ) -> None:
        for name, value in (("lr", lr), ("weight_decay", weight_decay)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} {value}: wanted a finite number from 0")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum {momentum}: wanted at least 0 and less than 1")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas {tuple(betas)}: wanted two numbers from 0, less than 1")
        given = list(params)
        for p in given:
            if not isinstance(p, Tensor) or not p.is_floating_point():
                raise ValueError(f"a {type(p).__name__}: wanted parameters of real numbers alone")
        matrices = [p for p in given if p.ndim >= 2 and p.numel()]
        others = [p for p in given if p.ndim < 2 or not p.numel()]
        for p in matrices:
            _matrix(p, p)
        groups: list[dict[str, Any]] = []
        if matrices:
            groups.append({"params": matrices, "momentum": momentum})
        if others:
            adamw = AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay)
            groups.append(adamw.param_groups[0])
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if "momentum" in group:
                self._step_muon(group)
            else:
                adamw = AdamW(group["params"])
                adamw.param_groups, adamw.state = [group], self.state
                adamw.step()
        return loss

    def _step_muon(self, group: dict[str, Any]) -> None:
        """Matrices of one shape are made orthogonal together."""
        moved = [p for p in group["params"] if p.grad is not None]
        gradients = [p.grad for p in moved]
        if not moved:
            return
        momenta = [self._momentum(p) for p in moved]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        directions = torch._foreach_lerp(gradients, momenta, group["momentum"])
        torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
        alike: defaultdict[tuple[Any, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for p, direction in zip(moved, directions, strict=True):
            rows, weights = _matrix(_laid_out(direction, p), p), _matrix(p, p)
            alike[rows.shape, rows.dtype, rows.device].append((weights, rows))
        for pairs in alike.values():
            update = orthogonal(torch.stack([rows for _, rows in pairs]))
            size = group["lr"] * 0.2 * max(update.shape[1:]) ** 0.5
            torch._foreach_sub_([weights for weights, _ in pairs], update.unbind(), alpha=size)

    def _momentum(self, p: Tensor) -> Tensor:
        """The averaged gradient of `p`, laid out as `p` is."""
        momentum = self.state[p].get("momentum_buffer")
        own = torch.zeros_like(p) if momentum is None else _laid_out(momentum, p)
        self.state[p]["momentum_buffer"] = own
        return own


def _laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor` in the memory layout of `like`: loaded ones may have another."""
    return tensor if tensor.stride() == like.stride() else torch.empty_like(like).copy_(tensor)


def orthogonal(matrices: Tensor) -> Tensor:
    """Nearly the closest orthogonal matrix of each of `matrices` (N, rows, columns).

    Singular values come to between 0.68 and 1.21, but for those below 0.002 of the norm. A
    round X <- (a + b G + c G^2) X, where G = X X^T, changes G into P^2 G with P = a + b G + c G^2:
    all rounds are done on G, of the shorter side, and X is multiplied once.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide.float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    gram = x @ x.mT
    a, b, c = QUINTIC
    whole = a_times_one = a * torch.eye(len(gram[0]), device=x.device)
    for n in range(ROUNDS):
        factor = torch.baddbmm(b * gram + a_times_one, gram, gram, alpha=c)
        whole = factor @ whole if n else factor
        if n + 1 < ROUNDS:
            gram = factor @ gram @ factor
    result = (whole @ x).to(matrices.dtype)
    return result if wide is matrices else result.mT


def _matrix(tensor: Tensor, like: Tensor) -> Tensor:
    """A view of `tensor`, laid out as `like` is, with one row for each output.

    Raises ValueError for a layout of which there is none.
    """
    rows = tensor.detach()
    if not like.is_contiguous():  # channels last
        rows = rows.movedim(1, -1)
    try:
        return rows.view(len(rows), -1)
    except RuntimeError as error:
        raise ValueError(
            f"a parameter of shape {list(like.shape)} and strides {list(like.stride())}: wanted a "
            "contiguous one, or channels last"
        ) from error
