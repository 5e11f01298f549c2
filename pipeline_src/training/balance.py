"""Balances the weight of a feature loss against the reconstruction loss when training starts.

The gradients of feature losses differ by five orders of magnitude: at weight 1 the gradient of AT's
original form is 0.008 of the reconstruction loss's, that of FitNets' authors' form 900 times as
large. One weight for all methods would compare scales and not methods.
"""

from __future__ import annotations

import torch

from pipeline_src.errors import InputError
from pipeline_src.training.data import Batch, Slices
from pipeline_src.training.objectives import DistillationObjective

#: How many batches the gradients are measured on.
BATCHES = 8


def balanced_weight(
    objective: DistillationObjective, train: Slices, batch_size: int, ratio: float
) -> float:
    """The weight at which the feature loss's gradient has ``ratio`` times the norm of the
    reconstruction loss's gradient.

    Both norms are means over `BATCHES` batches, spread evenly over the training slices in the order
    of the store. No weight is changed and nothing random is drawn, so a resumed training gets the
    same result.

    Raises:
        InputError: a gradient is zero or not finite, so that no weight balances the two.
    """
    batches = list(torch.arange(len(train)).split(batch_size))
    chosen = {round(k) for k in torch.linspace(0, len(batches) - 1, BATCHES).tolist()}
    device = train.device
    norms = torch.tensor(
        [_norms(objective, train.batch(batches[k].to(device))) for k in sorted(chosen)]
    )
    reconstruction, feature = norms.mean(dim=0).tolist()
    if not (0 < feature < float("inf") and 0 < reconstruction < float("inf")):
        raise InputError(
            f"methods.{objective.feature_loss.method}.weight: 'auto': the feature loss's gradient "
            f"starts with the norm {feature:g}, the reconstruction loss's {reconstruction:g}, and "
            "nothing balances them; give a number"
        )
    return float(ratio * reconstruction / feature)


def _norms(objective: DistillationObjective, batch: Batch) -> tuple[float, float]:
    """Norms of the student's gradients of the reconstruction loss and of the feature loss alone."""
    parameters = [p for p in objective.network.parameters() if p.requires_grad]
    found = []
    for weights in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)):
        loss = objective.weighted(batch, weights)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        squares = [g.double().square().sum() for g in gradients if g is not None]
        found.append(float(torch.stack(squares).sum().sqrt()))
    return found[0], found[1]
