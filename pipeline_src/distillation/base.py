"""What a distillation loss is, and how one is found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from pipeline_src.config.method import Method, Networks
from pipeline_src.errors import InputError
from pipeline_src.models.taps import Features, Tap

Summary = tuple[Tensor, ...]
LOSSES = "pipeline_src.distillation.losses"


class DistillationLoss(ABC):
    """A feature loss between a student and a frozen teacher.

    A loss works in two steps. ``summarise`` reduces a network's features to what the loss needs
    of each slice, without looking at the other slices of the batch; the teacher's summaries can
    therefore be computed once per slice and kept. ``compare`` sees the batch.

    Attributes:
        cascades: the cascades k compared, from 1.
        form: `authors` or `original`.
    """

    #: Whether the form compares channel with channel, so that both networks need as many.
    equal_channels: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, form: str, cascades: Sequence[int]) -> None:
        self.form = form
        self.cascades = tuple(cascades)

    @classmethod
    @abstractmethod
    def default_cascades(cls, count: int) -> list[int]:
        """The paper's choice of cascades for networks of ``count`` cascades."""

    @abstractmethod
    def taps(self) -> list[Tap]:
        """The features that `summarise` reads."""

    @abstractmethod
    def summarise(self, features: Features) -> Summary:
        """Per-slice tensors, each `(batch, ...)`, of a network's features."""

    @abstractmethod
    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """The training loss of a batch, a scalar."""

    def compare_for_selection(self, student: Summary, teacher: Summary) -> Tensor:
        """The validation loss of a batch, a scalar: the weights with the lowest are kept.

        The training loss, unless a method's published code selects by another one.
        """
        return self.compare(student, teacher)

    def mean(self, terms: Sequence[Tensor]) -> Tensor:
        """Mean over the cascades."""
        return torch.stack(list(terms)).mean()


LossClass = TypeVar("LossClass", bound=type[DistillationLoss])
_LOSSES: dict[str, type[DistillationLoss]] = {}


def register_loss(name: str) -> Callable[[LossClass], LossClass]:
    """Class decorator that makes a loss known under ``name``."""

    def keep(loss: LossClass) -> LossClass:
        _LOSSES[name] = loss
        return loss

    return keep


def loss_class(name: str, module: str | None = None) -> type[DistillationLoss]:
    """The loss that a module registers under ``name``.

    ``module`` is its import path; by default the module ``name`` of
    `pipeline_src.distillation.losses`.

    Raises:
        InputError: the module cannot be imported, or registers nothing of that name.
    """
    path = module or f"{LOSSES}.{name}"
    try:
        import_module(path)
    except ImportError as error:
        raise InputError(f"methods.{name}.module: {path} cannot be imported ({error})") from None
    # An outside module must register its own, also under the name of a built-in.
    if name not in _LOSSES or _LOSSES[name].__module__ != path:
        raise InputError(f"methods.{name}.module: {path} registers no loss named {name!r}")
    return _LOSSES[name]


def build_loss(name: str, method: Method, networks: Networks) -> DistillationLoss:
    """The loss of a method for a pair of networks.

    Raises:
        InputError: the method's form is not defined for the pair.
    """
    kind = loss_class(name, method.module)
    teacher, student = networks.teacher, networks.student
    if method.form in kind.equal_channels and teacher.features != student.features:
        raise InputError(
            f"methods.{name}.form: {method.form!r} compares channel with channel, but the teacher "
            f"has {teacher.features} features and the student {student.features}"
        )
    loss = kind(method.form, method.cascades or kind.default_cascades(student.cascades))
    last = max(tap.cascade for tap in loss.taps())
    if last > student.cascades:
        raise InputError(
            f"methods.{name}.cascades: needs features of cascade {last}, but the networks have "
            f"{student.cascades}"
        )
    return loss
