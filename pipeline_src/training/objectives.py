"""What each stage of training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_src.config.method import StudentFriendly
from pipeline_src.distillation.base import DistillationLoss, Summary
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.taps import tapped
from pipeline_src.sampling.data_fidelity import DataFidelity
from pipeline_src.training.data import Batch
from pipeline_src.training.teacher import FrozenTeacher


class Objective(ABC):
    """A loss over batches, and the network it trains.

    Attributes:
        trained: the module whose weights move.
        network: the network whose reconstructions count and whose validation PSNR is reported.
    """

    trained: nn.Module
    network: DCCNN

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar."""

    @abstractmethod
    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Validation loss of a batch (a scalar) and the reconstruction."""


class Reconstruction(Objective):
    """Mean |x_rec - x|_1 of one network."""

    def __init__(self, network: DCCNN, fidelity: DataFidelity) -> None:
        self.trained = self.network = network
        self.fidelity = fidelity

    def loss(self, batch: Batch) -> Tensor:
        """L1."""
        return self.validate(batch)[0]

    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """L1."""
        image = self.network(batch.zero_filled, self.fidelity)
        return F.l1_loss(image, batch.target), image


def sft_losses(
    teacher: Tensor, branches: Tensor, target: Tensor, normalisation: str
) -> tuple[Tensor, Tensor, Tensor]:
    """L_rec^T, L_rec^S and L_imit of student-friendly training.

    Args:
        teacher: `(batch, 1, rows, columns)`.
        branches: `(branches, batch, 1, rows, columns)`.
        target: `(batch, 1, rows, columns)`.
        normalisation: `mean`, or `numel` to divide L_imit by the elements of ``teacher`` once
            more, as the authors' code does.
    """
    student = F.l1_loss(branches, target.expand_as(branches))
    imitation = F.l1_loss(branches, teacher.expand_as(branches))
    if normalisation == "numel":
        imitation = imitation / teacher.numel()
    return F.l1_loss(teacher, target), student, imitation


class StudentFriendlyTraining(Objective):
    """L_SFT = L_rec^T + L_rec^S + L_imit (Matcha et al., MIDL 2023, Eq. 1-3).

    The gradient flows into both networks through every term. Only the teacher's path runs in
    use, so the weights are chosen by the teacher's L1 on validation.
    """

    def __init__(
        self, network: SFTNetwork, fidelity: DataFidelity, weights: StudentFriendly
    ) -> None:
        self.trained = network
        self.network = network.teacher
        self.sft = network
        self.fidelity = fidelity
        self.weights = weights

    def loss(self, batch: Batch) -> Tensor:
        """L_SFT."""
        teacher, branches = self.sft(batch.zero_filled, self.fidelity)
        terms = sft_losses(teacher, branches, batch.target, self.weights.imitation_normalisation)
        w = self.weights
        return (
            w.teacher_weight * terms[0]
            + w.student_weight * terms[1]
            + w.imitation_weight * terms[2]
        )

    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The teacher's L1."""
        image = self.network(batch.zero_filled, self.fidelity)
        return F.l1_loss(image, batch.target), image


class Distillation(Objective):
    """A student against the target, against a frozen teacher's features, and its output.

    loss = reconstruction_weight |x_S - x|_1 + feature_weight L_KD
           + imitation_weight |x_S - x_T|_1; terms of weight zero are not computed.
    """

    def __init__(
        self,
        student: DCCNN,
        fidelity: DataFidelity,
        teacher: FrozenTeacher,
        loss: DistillationLoss,
        *,
        reconstruction_weight: float = 0.0,
        feature_weight: float = 0.0,
        imitation_weight: float = 0.0,
    ) -> None:
        self.trained = self.network = student
        self.fidelity = fidelity
        self.teacher = teacher
        self.feature_loss = loss
        self.reconstruction_weight = reconstruction_weight
        self.feature_weight = feature_weight
        self.imitation_weight = imitation_weight

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum."""
        return self.validate(batch)[0]

    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The weighted sum."""
        image, summary = self._student(batch)
        total = torch.zeros((), device=image.device)
        if self.reconstruction_weight:
            total = total + self.reconstruction_weight * F.l1_loss(image, batch.target)
        if self.feature_weight:
            term = self.feature_loss.compare(summary, self.teacher.summary(batch))
            total = total + self.feature_weight * term
        if self.imitation_weight:
            term = F.l1_loss(image, self.teacher.image(batch))
            total = total + self.imitation_weight * term
        return total, image

    def _student(self, batch: Batch) -> tuple[Tensor, Summary]:
        if not self.feature_weight:
            return self.network(batch.zero_filled, self.fidelity), ()
        with tapped(self.network, self.feature_loss.taps()) as features:
            image = self.network(batch.zero_filled, self.fidelity)
        return image, self.feature_loss.summarise(features)
