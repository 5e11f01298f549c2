"""The kernels for AMX. On a processor without it, a simulation of its instructions runs them."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from kernel_helpers import (
    assert_about_as_near_as_the_library,
    gradients,
    needs_bf16_kernels,
    some_layers,
)

from pipeline_src.acceleration.cascade import Kernels
from pipeline_src.acceleration.compiled import (
    KINDS,
    CompilationError,
    find_compiler,
    kinds_here,
    load,
)

KIND = "amx-bf16"
EMULATOR = Path(__file__).parent / "amx_emulator.c"

# The rest of the kernels needs AVX-512 with bf16 in any case.
pytestmark = needs_bf16_kernels


@pytest.fixture(scope="module", autouse=True)
def amx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """AMX, the processor's own or simulated."""
    try:
        load(32, KIND)
    except CompilationError as error:
        pytest.skip(f"the compiler knows no AMX ({error})")
    if KIND in kinds_here("bf16"):
        yield
        return
    library = tmp_path_factory.mktemp("amx") / "emulator.so"
    words = [*find_compiler(), "-std=gnu11", "-O2", "-fPIC", "-shared", "-o", library, EMULATOR]
    subprocess.run([*map(str, words), "-lm"], check=True)
    emulator = ctypes.CDLL(str(library))
    assert emulator.amx_emulate() == 0
    yield
    emulator.amx_emulated.restype = ctypes.c_long
    assert emulator.amx_emulated() > 0
    emulator.amx_stop()


@pytest.mark.parametrize(
    ("depth", "features", "size"),
    [
        (3, 32, (1, 1)),
        (3, 32, (3, 2)),
        (5, 32, (12, 17)),
        (2, 32, (7, 5)),
        (4, 48, (6, 33)),
        (3, 20, (5, 31)),
        (3, 32, (2, 197)),  # more pixels in a row than are worked on at once
    ],
)
def test_it_is_about_as_near_as_the_library(
    depth: int, features: int, size: tuple[int, int]
) -> None:
    kernels = Kernels(features, "bf16", KIND)
    assert_about_as_near_as_the_library(kernels, depth, features, size)


def test_the_bits_do_not_depend_on_threads() -> None:
    layers = some_layers(3, 32)
    image = torch.randn(2, 1, 9, 20, requires_grad=True)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            values = Kernels(32, "bf16", KIND).convolve(image, layers, middle=1)
            found.append([*values, *gradients(values, [0, 1], image, layers)])
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_what_lies_behind_a_row_is_not_summed() -> None:
    """Tiles are wider than most rows; numbers behind them may be of any kind."""
    layers = some_layers(3, 32)
    image = torch.zeros(1, 1, 4, 3, requires_grad=True)
    with torch.no_grad():
        torch.full((10**6,), torch.nan)  # memory that is given again
    values = Kernels(32, "bf16", KIND).convolve(image, layers)
    found = [values[0], *gradients(values, [0], image, layers)]
    assert all(tensor is None or bool(tensor.isfinite().all()) for tensor in found)


def test_a_processor_with_amx_takes_them_where_the_system_lets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    able = torch.cpu.get_capabilities() | dict.fromkeys(KINDS[KIND].needs, True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: True)
    assert kinds_here("bf16")[0] == KIND
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: False)
    assert kinds_here("bf16") == ["avx512-bf16"]
