"""The configuration: pydantic models define defaults, schema and reference."""

from pipeline_src.config.load import check_study, load_study
from pipeline_src.config.study import Study

__all__ = ["Study", "check_study", "load_study"]
