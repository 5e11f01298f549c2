"""Adam with StepLR on plain tensors, so that its whole state can be saved and restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

from pipeline_src.config.training import Training

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def step_lr(settings: Training, epoch: int) -> float:
    """The learning rate of an epoch, from 1: multiplied by ``lr_factor`` every ``lr_step``
    epochs.
    """
    return settings.learning_rate * settings.lr_factor ** ((epoch - 1) // settings.lr_step)


class Adam:
    """Torch's fused Adam (Kingma & Ba, ICLR 2015) over named parameters.

    Torch's optimiser classes load its compiler, which doubles the start-up time of a short
    training; the function that they call does not. A parameter without a gradient is not changed.

    Attributes:
        moments: per parameter that was ever changed: mean and mean square of its gradient, and the
            number of steps.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self.parameters = parameters
        self.moments: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        device = next(iter(parameters.values())).device
        # A captured step reads the rate from the device, so that it can change between replays.
        self._rate = torch.zeros((), device=device) if device.type == "cuda" else None
        self._plain_rate = 0.0

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next steps."""
        self._plain_rate = rate
        if self._rate is not None:
            self._rate.fill_(rate)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Take one step, given each parameter's gradient (same shape, or None) in the parameters'
        order.
        """
        given = [
            (name, parameter, gradient)
            for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True)
            if gradient is not None
        ]
        for name, parameter, _ in given:
            if name not in self.moments:
                self.moments[name] = self.fresh_moments(parameter)
        means, squares, steps = map(list, zip(*(self.moments[n] for n, _, _ in given), strict=True))
        adam(
            [parameter for _, parameter, _ in given],
            [_laid_out_like(parameter, gradient) for _, parameter, gradient in given],
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self._plain_rate if self._rate is None else self._rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    @staticmethod
    def fresh_moments(parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Zeros: two tensors of the parameter's shape and memory layout, and a scalar for the
        steps.

        The fused step relies on that layout.
        """
        zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return zeros, zeros.clone(), torch.zeros((), device=parameter.device)

    def state(self) -> dict[str, Tensor]:
        """The moments by name, for saving."""
        return {
            f"{name}/{kind}": tensor
            for name, moments in self.moments.items()
            for kind, tensor in zip(("mean", "square", "steps"), moments, strict=True)
        }

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Load moments saved by `state`."""
        for name in dict.fromkeys(key.rsplit("/", 1)[0] for key in saved):
            moments = self.fresh_moments(self.parameters[name])
            for kind, tensor in zip(("mean", "square", "steps"), moments, strict=True):
                tensor.copy_(saved[f"{name}/{kind}"])
            self.moments[name] = moments


def _laid_out_like(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in the parameter's memory layout, which the fused step relies on."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(gradient)
