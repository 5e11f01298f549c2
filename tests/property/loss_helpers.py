"""Every distillation loss in both forms, and random features for them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline_src.config.distillation import Method
from pipeline_src.config.networks import Network, Networks
from pipeline_src.distillation.base import DistillationLoss, build_loss
from pipeline_src.models.taps import Features

METHODS = ("at", "cc", "fitnets", "fsp", "sp")
FORMS = ("authors", "original")
CASES = [(method, form) for method in METHODS for form in FORMS]
every_loss = pytest.mark.parametrize(("method", "form"), CASES)

TEACHER = Network(depth=5, features=3)
STUDENT = Network(depth=3, features=3)
QUICK = settings(max_examples=8, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def loss_of(method: str, form: str | None) -> DistillationLoss:
    options = Method.model_validate({"form": form})
    return build_loss(method, options, Networks(teacher=TEACHER, student=STUDENT))


def random_features(loss: DistillationLoss, batch: int, seed: int) -> Features:
    """Features of the shapes that a network gives; middle ones are ReLU outputs."""
    generator = torch.Generator().manual_seed(seed)
    features: Features = {}
    for tap in loss.taps():
        channels = 3 if tap.place == "mid" else 1
        value = torch.randn(batch, channels, 5, 6, generator=generator)
        features[tap] = value.relu() if tap.place == "mid" else value
    return features


def compare(loss: DistillationLoss, student: Features, teacher: Features) -> Tensor:
    return loss.compare(loss.summarise(student), loss.summarise(teacher))


def scaled(features: Features, factor: float | Tensor) -> Features:
    return {tap: value * factor for tap, value in features.items()}
