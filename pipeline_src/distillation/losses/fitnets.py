"""FitNets: hints from a middle layer (Romero et al., ICLR 2015, https://arxiv.org/abs/1412.6550)."""

from __future__ import annotations

from torch import Tensor

from pipeline_src.distillation.attention import batch_normalised_difference, energy_map
from pipeline_src.distillation.base import DistillationLoss, Summary, register_loss
from pipeline_src.models.taps import Features, Tap


@register_loss("fitnets")
class FitNets(DistillationLoss):
    """Compares the feature of the middle cascade, the "hint".

    original: mean squared error between the middle features (the paper's Eq. 3; the regressor is
    the identity, since both networks have the same number of channels). authors: the authors'
    attention loss (see `at`) on the last convolution's output.
    """

    forms = frozenset({"authors", "original"})
    equal_channels = frozenset({"original"})

    @classmethod
    def default_cascades(cls, count: int) -> list[int]:
        """The middle cascade: 3 of 5."""
        return [(count + 1) // 2]

    def taps(self) -> list[Tap]:
        """The middle feature of each cascade; in the authors' form its output."""
        return [Tap("mid" if self.form == "original" else "out", k) for k in self.cascades]

    def summarise(self, features: Features) -> Summary:
        """Features `(batch, channels, rows, columns)` as they are; in the authors' form their
        energy maps `(batch, rows, columns)`.
        """
        taken = [features[tap] for tap in self.taps()]
        return tuple(taken if self.form == "original" else map(energy_map, taken))

    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """Mean of the cascades' losses, a scalar, for the student's summary `(batch, ...)` and the
        teacher's of the same shape.
        """
        pairs = zip(student, teacher, strict=True)
        if self.form == "original":
            return self.mean([(s - t).square().mean() for s, t in pairs])
        return self.mean([batch_normalised_difference(s, t) for s, t in pairs])
