"""Whether this machine should be able to compile and run the kernels."""

from __future__ import annotations

import sys

import pytest

from pipeline_src.acceleration.compiled import CompilationError, find_compiler, kinds_here


def absent(precision: str) -> str:
    """What is missing for kernels of a precision; where nothing is, failing to make them is a
    fault."""
    if not sys.platform.startswith("linux"):
        return "the kernels are tested on Linux"
    if not kinds_here(precision):
        return f"no processor for kernels in {precision}"
    try:
        find_compiler()
    except CompilationError as error:
        return str(error)
    return ""


needs_kernels = pytest.mark.skipif(bool(absent("fp32")), reason=absent("fp32"))
needs_bf16_kernels = pytest.mark.skipif(bool(absent("bf16")), reason=absent("bf16"))
