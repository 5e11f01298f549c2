"""The base class of distillation losses, and how a loss is found by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from pipeline_src.config.distillation import Method
from pipeline_src.config.networks import Networks, feature_cascades
from pipeline_src.config.options import NoOptions, checked_options
from pipeline_src.config.section import Section
from pipeline_src.errors import InputError
from pipeline_src.models.taps import Features, Tap
from pipeline_src.models.trial import require_comparable
from pipeline_src.modules import import_registered, running_others

Summary = tuple[Tensor, ...]
#: Channels of a network's features.
Channels = Mapping[Tap, int]
LOSSES = "pipeline_src.distillation.losses"


class DistillationLoss(ABC):
    """A loss that compares features of a student with those of a frozen teacher.

    A loss works in two steps. ``summarise`` reduces a network's features to what the loss needs of
    each slice, without using the other slices of the batch; the teacher's summaries can therefore
    be computed once per slice and stored. ``compare`` uses the whole batch.

    Attributes:
        cascades: numbers of the cascades that are compared, counted from 1.
        form: `authors` or `original`, one of ``forms``; None where there are none.
        method: the name of its method in the configuration; empty before it is built for one.
        options: the loss's own options, an instance of ``options_model``.
        parts: the loss's own module that is trained with the student; None before it is made, and
            for most losses.
    """

    #: The loss's own options, a `Section`.
    options_model: ClassVar[type[Section]] = NoOptions
    #: What `form` may be: `authors`, as its published code computes it, and `original`, as its own
    #: paper defines it; none for a loss that is computed in one way.
    forms: ClassVar[frozenset[str]] = frozenset()
    #: The forms that compare channel with channel, so that both networks need as many; None stands
    #: for a loss without forms.
    equal_channels: ClassVar[frozenset[str | None]] = frozenset()

    def __init__(self, form: str | None, cascades: Sequence[int]) -> None:
        self.form = form
        self.cascades = tuple(cascades)
        self.method = ""
        self.options: Any = self.options_model.model_construct()
        self.parts: nn.Module | None = None

    @classmethod
    def default_cascades(cls, count: int) -> list[int]:
        """The cascades that the paper compares, for networks of ``count`` cascades; here all."""
        return list(range(1, count + 1))

    @abstractmethod
    def taps(self) -> list[Tap]:
        """The features that `summarise` reads."""

    def summarise(self, features: Features) -> Summary:
        """Reduce features to what the loss needs of each slice; here they stay as they are.

        Args:
            features: `(batch, channels, rows, columns)` per tap.

        Returns:
            Tensors `(batch, ...)`, one or more, in an order that `compare` knows.
        """
        return tuple(features[tap] for tap in self.taps())

    @abstractmethod
    def compare(self, student: Summary, teacher: Summary) -> Tensor:
        """The training loss of a batch.

        Args:
            student: the student's summary, tensors `(batch, ...)`.
            teacher: the teacher's, of the same shapes.

        Returns:
            A scalar.
        """

    def compare_for_selection(self, student: Summary, teacher: Summary) -> Tensor:
        """The validation loss of a batch, by which the best weights are selected.

        This is the training loss, unless a method's published code selects by another one. The
        summaries have the shapes that they have in `compare`, `(batch, ...)` each; the result is a
        scalar.
        """
        return self.compare(student, teacher)

    def make_parts(self, teacher: Channels, student: Channels) -> nn.Module | None:
        """Make the module that is trained together with the student and not saved with it, if any.

        An example are regressors from the student's channels to the teacher's. `compare` finds the
        module in ``parts``. It is made once, after torch's global generator was seeded.
        """
        del teacher, student
        return None

    def mean(self, terms: Sequence[Tensor]) -> Tensor:
        """Mean of one scalar per cascade, a scalar."""
        return torch.stack(list(terms)).mean()


LossClass = TypeVar("LossClass", bound=type[DistillationLoss])
_LOSSES: dict[str, type[DistillationLoss]] = {}


def register_loss(name: str) -> Callable[[LossClass], LossClass]:
    """Class decorator that registers a loss under ``name``."""

    def keep(loss: LossClass) -> LossClass:
        _LOSSES[name] = loss
        return loss

    return keep


def loss_class(name: str, module: str | None = None) -> type[DistillationLoss]:
    """The loss class that a module registers under ``name``.

    ``module`` is its import path; by default the module ``name`` of
    `pipeline_src.distillation.losses`.

    Raises:
        InputError: the module cannot be imported, or does not register a loss of that name.
    """
    path, key = module or f"{LOSSES}.{name}", f"methods.{name}.module:"
    found = import_registered(_LOSSES, name, path, key, "loss")
    if not (isinstance(found, type) and issubclass(found, DistillationLoss)):
        raise InputError(f"{key} {path} registers {name!r}, which is no DistillationLoss")
    return found


def loss_options(name: str, method: Method) -> Section:
    """A method's options, validated by the options model of its loss; its form is checked too.

    Raises:
        InputError: the loss does not have the form, an option is unknown or its value is not
            allowed, or there is no such loss.
    """
    kind = loss_class(name, method.module)
    _check_form(f"methods.{name}.form", method.form, kind.forms)
    return checked_options(kind.options_model, method.options, f"methods.{name}.options")


def _check_form(key: str, form: str | None, forms: frozenset[str]) -> None:
    if form is not None and not forms:
        raise InputError(f"{key}: {form!r} is given, but the loss has no forms; leave it out")
    if forms and form not in forms:
        told = "is missing" if form is None else f"{form!r} is not a form of the loss"
        raise InputError(f"{key}: {told}; give {' or '.join(sorted(forms))}")


def build_loss(name: str, method: Method, networks: Networks) -> DistillationLoss:
    """The loss of a method for a pair of networks.

    Raises:
        InputError: the loss does not have the method's form, or it is not defined for the pair.
    """
    kind = loss_class(name, method.module)
    options = loss_options(name, method)
    count = feature_cascades(networks.student)
    with running_others(f"methods.{name}", method.module):
        loss = kind(method.form, method.cascades or kind.default_cascades(count))
        loss.method, loss.options = name, options
        last = max(int(tap.cascade) for tap in loss.taps())
    if last > count:
        raise InputError(
            f"methods.{name}.cascades: needs features of cascade {last}, but the networks have "
            f"{count}"
        )
    require_comparable(
        networks,
        loss.taps(),
        f"methods.{name}.form: {method.form!r}" if method.form else f"methods.{name}",
        channels=method.form in kind.equal_channels,
    )
    return loss
