"""Training steps as from the textbook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.textbook.data import Sample
from benchmarks.textbook.losses import FEATURE_LOSSES, FeatureLoss, sft_loss
from benchmarks.textbook.networks import (
    DataFidelity,
    TextbookDCCNN,
    TextbookSFT,
    copy_weights,
)
from pipeline_src.config.networks import Network, Networks, OtherNetwork

#: The authors' cardiac code: D5C5 and D3C5, 5 pixels of padding.
NETWORKS = Networks(teacher=Network(depth=5, padding=5), student=Network(depth=3, padding=5))


class Step(ABC):
    """A network, its loss and its optimiser.

    Attributes:
        trained: the module whose weights move.
        total_loss: sum of the losses of all batches so far.
    """

    def __init__(self, trained: nn.Module, fidelity: DataFidelity, learning_rate: float) -> None:
        self.trained = trained
        self.fidelity = fidelity
        self.optimiser = torch.optim.Adam(trained.parameters(), lr=learning_rate)
        self.total_loss = 0.0

    @abstractmethod
    def loss(self, batch: Sample) -> Tensor:
        """The training loss of a batch, a scalar."""

    def run(self, batch: Sample) -> float:
        """Train on one batch, moved to the weights' device; its loss before the step."""
        device = self.fidelity.mask.device
        batch = Sample(*[tensor.to(device) for tensor in batch])
        self.optimiser.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        self.optimiser.step()
        value = loss.item()
        self.total_loss += value
        return value


class ReconstructionStep(Step):
    """|x_rec - x|_1 of one network."""

    def __init__(
        self, network: TextbookDCCNN, fidelity: DataFidelity, learning_rate: float
    ) -> None:
        super().__init__(network, fidelity, learning_rate)
        self.network = network

    def loss(self, batch: Sample) -> Tensor:
        """L1."""
        image = self.network(batch.zero_filled, batch.kspace, self.fidelity)
        return F.l1_loss(image, batch.target)


class SFTStep(Step):
    """L_SFT of teacher and student branches."""

    def __init__(self, network: TextbookSFT, fidelity: DataFidelity, learning_rate: float) -> None:
        super().__init__(network, fidelity, learning_rate)
        self.network = network

    def loss(self, batch: Sample) -> Tensor:
        """L_SFT."""
        teacher, branches = self.network(batch.zero_filled, batch.kspace, self.fidelity)
        return sft_loss(teacher, branches, batch.target)


class DistilledReconstructionStep(ReconstructionStep):
    """|x_rec - x|_1 of a student, with the teacher run beside it.

    The authors' second stage reconstructs with the teacher in every step, also where the loss has
    no imitation term and the result goes unused. Theirs keeps the teacher's graph too.
    """

    def __init__(
        self,
        student: TextbookDCCNN,
        teacher: TextbookDCCNN,
        fidelity: DataFidelity,
        learning_rate: float,
    ) -> None:
        super().__init__(student, fidelity, learning_rate)
        self.teacher = teacher.eval()

    def loss(self, batch: Sample) -> Tensor:
        """L1."""
        with torch.no_grad():
            self.teacher(batch.zero_filled, batch.kspace, self.fidelity)
        return super().loss(batch)


class FeatureStep(Step):
    """A student against the features of a frozen teacher."""

    def __init__(
        self,
        student: TextbookDCCNN,
        teacher: TextbookDCCNN,
        compare: FeatureLoss,
        fidelity: DataFidelity,
        learning_rate: float,
    ) -> None:
        super().__init__(student, fidelity, learning_rate)
        self.student = student
        self.teacher = teacher.eval()
        self.compare = compare

    def loss(self, batch: Sample) -> Tensor:
        """The feature loss alone."""
        inputs = (batch.zero_filled, batch.kspace, self.fidelity)
        with torch.no_grad():
            _, of_teacher = self.teacher.with_features(*inputs)
        _, of_student = self.student.with_features(*inputs)
        return self.compare(of_student, of_teacher)


KINDS = (
    "teacher",
    "student",
    "sft",
    *(f"{method}_features" for method in FEATURE_LOSSES),
    *(f"{method}_reconstruction" for method in FEATURE_LOSSES),
)


def build(
    kind: str,
    mask: NDArray[Any],
    networks: Networks = NETWORKS,
    *,
    teacher_state: Mapping[str, Tensor] | None = None,
    student_state: Mapping[str, Tensor] | None = None,
    learning_rate: float = 1e-3,
    device: str = "cpu",
) -> Step:
    """The step of one of `KINDS`, with random weights or those of the pipeline's state dicts.

    ``mask`` is `(rows, columns)` in FFT order.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
    method, _, stage = kind.partition("_")
    fidelity = DataFidelity(mask).to(device)
    teacher = _network(networks.teacher, teacher_state).to(device)
    student = _network(networks.student, student_state).to(device)
    if kind == "sft":
        return SFTStep(TextbookSFT(teacher, student), fidelity, learning_rate)
    if stage == "features":
        return FeatureStep(student, teacher, FEATURE_LOSSES[method], fidelity, learning_rate)
    if stage == "reconstruction":
        return DistilledReconstructionStep(student, teacher, fidelity, learning_rate)
    network = teacher if kind == "teacher" else student
    return ReconstructionStep(network, fidelity, learning_rate)


def _network(network: Network | OtherNetwork, state: Mapping[str, Tensor] | None) -> TextbookDCCNN:
    if not isinstance(network, Network):
        raise ValueError(f"there is no textbook's {network.name}")
    made = TextbookDCCNN(network.depth, network.cascades, network.features, network.padding)
    if state is not None:
        copy_weights(made, state)
    return made
