"""The configuration: pydantic models define defaults, schema and reference."""

from pipeline_src.config.datasets import Dataset, Preparation
from pipeline_src.config.distillation import (
    Distillation,
    Method,
    StudentFriendly,
    available_methods,
)
from pipeline_src.config.load import check_study, load_study, read_yaml
from pipeline_src.config.networks import Network, Networks
from pipeline_src.config.sampling import Sampling
from pipeline_src.config.section import merge
from pipeline_src.config.split import Split
from pipeline_src.config.study import Study
from pipeline_src.config.training import Training

__all__ = [
    "Dataset",
    "Distillation",
    "Method",
    "Network",
    "Networks",
    "Preparation",
    "Sampling",
    "Split",
    "StudentFriendly",
    "Study",
    "Training",
    "available_methods",
    "check_study",
    "load_study",
    "merge",
    "read_yaml",
]
