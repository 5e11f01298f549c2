"""The frozen teacher, which computes what students need once per slice if memory allows."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_src.distillation.base import DistillationLoss
from pipeline_src.models.base import ReconstructionNetwork
from pipeline_src.models.taps import tapped
from pipeline_src.sampling.data_fidelity import DataFidelity
from pipeline_src.training.casts import Casts
from pipeline_src.training.data import Batch, Slices


class FrozenTeacher:
    """A teacher that is not trained, with a cache of its answers.

    An answer for a slice is the reconstruction and the summary of the distillation loss. If the
    answers of a part would not fit into ``cache_bytes``, the teacher is run again for every batch
    of that part.
    """

    def __init__(
        self,
        network: ReconstructionNetwork,
        fidelity: DataFidelity,
        loss: DistillationLoss,
        *,
        cache_bytes: int,
        batch_size: int,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.fidelity = fidelity
        self.loss = loss
        self.cache_bytes = cache_bytes
        self.batch_size = batch_size
        self._casts = Casts(network)
        self._cache: dict[str, tuple[Tensor, ...]] = {}

    def remember(self, slices: Slices) -> bool:
        """Compute the answers for every slice of a part in advance; False if they would not fit."""
        first = self._answer(slices.batch(torch.arange(1)))
        per_slice = sum(t.numel() * t.element_size() for t in first)
        if per_slice * len(slices) > self.cache_bytes:
            return False
        # Written into one tensor: kept one by one, answers would fragment the memory of features.
        answers = tuple(t.new_empty((len(slices), *t.shape[1:])) for t in first)
        for batch in slices.batches(self.batch_size):
            for whole, part in zip(answers, self._answer(batch), strict=True):
                whole[batch.indices] = part
        self._cache[slices.part] = answers
        self.cache_bytes -= per_slice * len(slices)
        return True

    def answers(self, batch: Batch) -> tuple[Tensor, ...]:
        """The teacher's reconstruction `(batch, 1, rows, columns)` and then the loss's summary of
        its features, tensors `(batch, ...)`.
        """
        if batch.part in self._cache:
            return tuple(t[batch.indices] for t in self._cache[batch.part])
        return self._answer(batch)

    @torch.no_grad()
    def _answer(self, batch: Batch) -> tuple[Tensor, ...]:
        with self._casts, tapped(self.network, self.loss.taps()) as features:
            image = self.network(batch.zero_filled, self.fidelity)
        return (image, *self.loss.summarise(features))
