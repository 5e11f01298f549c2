"""Whether this machine can compile and run the kernels."""

from __future__ import annotations

import pytest

from pipeline_src.kernels.cascade import Kernels
from pipeline_src.kernels.compiled import CompilationError


def missing(precision: str) -> str:
    """Why there are no kernels of a precision; empty where there are."""
    try:
        Kernels(16, precision)
    except CompilationError as error:
        return f"no compiled kernels here: {error}"
    return ""


needs_kernels = pytest.mark.skipif(bool(missing("fp32")), reason=missing("fp32"))
needs_bf16_kernels = pytest.mark.skipif(bool(missing("bf16")), reason=missing("bf16"))
