"""The objectives: what each stage of training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_src.config.distillation import StudentFriendly
from pipeline_src.distillation.base import DistillationLoss, Summary
from pipeline_src.models.base import CascadeNetwork, ReconstructionNetwork
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.taps import Features, Tap, tapped
from pipeline_src.modules import PACKAGE
from pipeline_src.sampling.data_fidelity import DataFidelity
from pipeline_src.training.data import Batch
from pipeline_src.training.teacher import FrozenTeacher


class Objective(ABC):
    """A loss over batches, and the network it trains.

    Attributes:
        trained: the module whose weights are trained.
        network: the network that reconstructs, and whose validation PSNR is reported.
        depends_on_batch: whether the validation loss of a slice depends on the others in its batch.
        named, remedy: what messages call the loss, and what helps where it is not finite.
    """

    trained: nn.Module
    network: ReconstructionNetwork
    depends_on_batch = True
    named = "the loss"
    remedy = "lower training.learning_rate or check the data"

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar."""

    @abstractmethod
    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Validation loss of a batch (a scalar) and the reconstruction `(batch, 1, rows,
        columns)`.
        """


class ReconstructionObjective(Objective):
    """Trains one network to reconstruct: mean |x_rec - x|_1."""

    depends_on_batch = False

    def __init__(self, network: ReconstructionNetwork, fidelity: DataFidelity) -> None:
        self.trained = self.network = network
        self.fidelity = fidelity

    def loss(self, batch: Batch) -> Tensor:
        """The mean L1 distance between reconstruction and target, a scalar."""
        return self.validate(batch)[0]

    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mean L1 distance, a scalar, and the reconstruction `(batch, 1, rows, columns)`."""
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
        normalisation: `mean`, or `numel` to divide L_imit by the number of elements of ``teacher``
            once more, as the authors' code does.

    Returns:
        Three scalars.
    """
    student = F.l1_loss(branches, target.expand_as(branches))
    imitation = imitation_loss(branches, teacher, normalisation)
    return F.l1_loss(teacher, target), student, imitation


def imitation_loss(branches: Tensor, teacher: Tensor, normalisation: str) -> Tensor:
    """Mean |branch - teacher|_1 of `(branches, batch, ...)` against `(batch, ...)`, a scalar.

    With ``normalisation`` `numel`, it is divided once more by the number of elements of
    ``teacher``.
    """
    loss = F.l1_loss(branches, teacher.expand_as(branches))
    return loss / teacher.numel() if normalisation == "numel" else loss


def feature_imitation(student: Features, teacher: Features, normalisation: str) -> Tensor:
    """Imitation in the feature domain, a scalar.

    It is the mean over the branches, and over the cascades that each goes through, of |mid_k of the
    branch - mid_k of the teacher|_1.

    Args:
        student: features of the branches by tap, stacked along the batch: `(branches * batch,
            channels, rows, columns)`.
        teacher: features of the teacher by tap, `(batch, channels, rows, columns)`.
        normalisation: as in `imitation_loss`.
    """
    terms, branches = [], []
    for tap, feature in student.items():
        batch = len(teacher[tap])
        stacked = feature.unflatten(0, (-1, batch))
        terms.append(imitation_loss(stacked, teacher[tap], normalisation))
        branches.append(len(stacked))
    weighted = [term * count for term, count in zip(terms, branches, strict=True)]
    return torch.stack(weighted).sum() / sum(branches)


def imitated(network: SFTNetwork) -> list[Tap]:
    """The features that the branches imitate in the feature domain."""
    return [Tap("mid", k) for k in range(2, len(network.teacher.cascades) + 1)]


class StudentFriendlyObjective(ReconstructionObjective):
    """Trains a teacher with student branches: L_SFT = L_rec^T + L_rec^S + L_imit (Matcha et al.,
    MIDL 2023, Eq. 1-3).

    The gradient flows into both networks through every term. Only the teacher's path is used
    afterwards, so the weights are selected by the teacher's L1 on validation.
    """

    def __init__(
        self, network: SFTNetwork, fidelity: DataFidelity, weights: StudentFriendly
    ) -> None:
        super().__init__(network.teacher, fidelity)
        self.trained = self.sft = network
        self.weights = weights
        self.taps = imitated(network) if weights.imitation_domain == "features" else []

    def loss(self, batch: Batch) -> Tensor:
        """L_SFT, the weighted sum of the three losses, a scalar."""
        w = self.weights
        with (
            tapped(self.sft.teacher, self.taps) as of_teacher,
            tapped(self.sft.student, self.taps) as of_branches,
        ):
            teacher, branches = self.sft(batch.zero_filled, self.fidelity)
        normalisation = w.imitation_normalisation
        terms = sft_losses(teacher, branches, batch.target, normalisation)
        if self.taps:
            terms = (*terms[:2], feature_imitation(of_branches, of_teacher, normalisation))
        return (
            w.teacher_weight * terms[0]
            + w.student_weight * terms[1]
            + w.imitation_weight * terms[2]
        )


class DistillationObjective(Objective):
    """Trains a student against the target, a frozen teacher's features and its reconstruction.

    loss = reconstruction_weight |x_S - x|_1 + feature_weight L_KD
           + imitation_weight |x_S - x_T|_1; terms of weight zero are not computed.

    Attributes:
        weights: of reconstruction, feature and imitation loss.
    """

    def __init__(
        self,
        student: ReconstructionNetwork,
        fidelity: DataFidelity,
        teacher: FrozenTeacher,
        loss: DistillationLoss,
        *,
        reconstruction_weight: float = 0.0,
        feature_weight: float = 0.0,
        imitation_weight: float = 0.0,
    ) -> None:
        self.trained = self.network = student
        if loss.parts is not None and feature_weight:
            self.trained = nn.ModuleDict({"network": student, "parts": loss.parts})
        self.fidelity = fidelity
        self.teacher = teacher
        self.feature_loss = loss
        self.weights = (reconstruction_weight, feature_weight, imitation_weight)
        self.depends_on_batch = bool(feature_weight)
        self._taps = loss.taps() if feature_weight else []
        # A pure feature loss needs no layer after the last feature that it compares.
        whole = bool(reconstruction_weight or imitation_weight)
        last = max((tap.cascade for tap in self._taps), default=0)
        some = isinstance(student, CascadeNetwork) and not whole
        self._part = {"cascades": last} if some else {}
        if feature_weight:
            feature = f"feature loss of methods.{loss.method}"
            self.named = (
                f"the sum of reconstruction loss and {feature}" if whole else f"the {feature}"
            )
            module = type(loss).__module__
            if module.partition(".")[0] != PACKAGE.name:
                self.remedy = (
                    f"check first the code of this feature loss ({module}), then {self.remedy}"
                )

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum of reconstruction, feature and imitation loss, a scalar."""
        return self.weighted(batch, self.weights)

    def weighted(self, batch: Batch, weights: tuple[float, float, float]) -> Tensor:
        """The sum of the three losses with other weights, a scalar."""
        return self._loss_and_image(batch, self.feature_loss.compare, weights, self._part)[0]

    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Validation loss, a scalar, and the reconstruction `(batch, 1, rows, columns)`.

        The loss is the weighted sum with the feature loss that selects the weights.
        """
        compare = self.feature_loss.compare_for_selection
        return self._loss_and_image(batch, compare, self.weights, {})

    def _loss_and_image(
        self,
        batch: Batch,
        compare: Callable[[Summary, Summary], Tensor],
        weights: tuple[float, float, float],
        part: dict[str, int],
    ) -> tuple[Tensor, Tensor]:
        """The weighted sum of the losses, and the image after those cascades that were computed."""
        reconstruction, feature, imitation = weights
        with tapped(self.network, self._taps) as features:
            image = self.network(batch.zero_filled, self.fidelity, **part)
        total = torch.zeros((), device=image.device)
        if reconstruction:
            total = total + reconstruction * F.l1_loss(image, batch.target)
        if feature or imitation:
            of_teacher, *summary = self.teacher.answers(batch)
        if feature:
            term = compare(self.feature_loss.summarise(features), tuple(summary))
            total = total + feature * term
        if imitation:
            total = total + imitation * F.l1_loss(image, of_teacher)
        return total, image
