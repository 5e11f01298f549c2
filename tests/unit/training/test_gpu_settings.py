"""What a training on a GPU sets in torch, as far as that can be asked without one."""

from __future__ import annotations

import subprocess
import sys

SETTINGS = """
import sys
import torch
from pipeline_src.training.device import set_convolution_precision, use_deterministic_algorithms

use_deterministic_algorithms()
assert torch.are_deterministic_algorithms_enabled()
assert not torch.utils.deterministic.fill_uninitialized_memory
compiler = [name for name in sys.modules if name.startswith(("torch._inductor", "torch._dynamo"))]
assert not compiler, compiler[:3]
for precision in ("tf32", "ieee", "tf32"):
    set_convolution_precision(precision)
    # Raises where torch finds its switches at odds.
    assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
    assert torch.backends.cudnn.conv.fp32_precision == precision
    assert torch.backends.cudnn.rnn.fp32_precision == precision
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
"""


def test_determinism_loads_no_compiler_and_precisions_agree() -> None:
    # In a process of its own, since the settings hold for a whole one.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SETTINGS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
