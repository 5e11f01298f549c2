"""The compiled convolutions: the library's numbers, the same bits everywhere, and their absence."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_helpers import (
    FEATURES,
    assert_about_as_near_as_the_library,
    by_the_library,
    gradients,
    needs_bf16_kernels,
    needs_kernels,
    some_layers,
)
from torch import Tensor

from pipeline_src.acceleration import cascade as kernel_calls
from pipeline_src.acceleration import compiled
from pipeline_src.acceleration.cascade import Kernels
from pipeline_src.acceleration.compiled import KINDS, CompilationError, kinds_here
from pipeline_src.config.networks import Network
from pipeline_src.models.dccnn import DCCNN, Cascade, use_kernels


@needs_kernels
@pytest.mark.parametrize("kind", kinds_here("fp32"))
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (12, 14), (37, 11), (4, 150)])
@pytest.mark.parametrize(
    ("depth", "features"), [(2, 16), (3, 32), (5, 16), (4, 48), (2, 3), (4, 20)]
)
def test_values_and_gradients_are_the_librarys(
    depth: int, features: int, size: tuple[int, int], kind: str
) -> None:
    layers = some_layers(depth, features)
    image = torch.randn(3, 1, *size, requires_grad=True)
    middle = (depth + 1) // 2 - 1
    expected = by_the_library(image, layers, middle)
    ours = Kernels(features, kind=kind).convolve(image, layers, middle)
    for value, right in zip(ours, expected, strict=True):
        assert value is not None
        assert (value - right).abs().max() < 1e-5 * right.abs().max()
    # Of the output, of the middle feature, and of both.
    for used in ([0], [1], [0, 1]):
        pairs = zip(
            gradients(ours, used, image, layers),
            gradients(expected, used, image, layers),
            strict=True,
        )
        for gradient, right in pairs:
            assert (gradient is None) == (right is None)
            if gradient is not None and right is not None:
                assert gradient.shape == right.shape
                # A feature so near to zero that rounding takes it across would show here; with
                # these draws there is none.
                assert (gradient - right).abs().max() < 2e-5 * right.abs().max()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def all_numbers(kernels: Kernels, size: tuple[int, int] = (21, 33)) -> list[Tensor]:
    layers = some_layers(4)
    image = torch.randn(3, 1, *size, requires_grad=True)
    values = kernels.convolve(image, layers, middle=1)
    found = [*values, *gradients(values, [0, 1], image, layers)]
    return [tensor for tensor in found if tensor is not None]


@needs_kernels
@pytest.mark.usefixtures("threads")
# The larger one has more tiles in a row than are worked on at once, and more pixels than torch
# sums up in one thread.
@pytest.mark.parametrize("size", [(21, 33), (160, 161)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_bits_depend_neither_on_threads_nor_on_the_processor(
    precision: str, size: tuple[int, int]
) -> None:
    # AMX's have an order of sums of their own.
    kinds = [kind for kind in kinds_here(precision) if not KINDS[kind].bits]
    if not kinds:
        pytest.skip(f"no processor for {precision}")
    torch.set_num_threads(1)
    expected = all_numbers(Kernels(FEATURES, precision, kinds[0]), size)
    for kind in kinds:
        for count in (1, 2, 5, 20):
            torch.set_num_threads(count)
            found = all_numbers(Kernels(FEATURES, precision, kind), size)
            assert all(map(torch.equal, found, expected))


@needs_kernels
def test_without_gradients_the_values_are_the_same_bits() -> None:
    cascade = Cascade(Network(depth=5, features=FEATURES))
    use_kernels(cascade, "fp32")
    image = torch.randn(3, 1, 9, 8)
    with torch.no_grad():
        plain = cascade(image)
    trained = cascade(image)
    assert trained.requires_grad
    assert torch.equal(plain, trained)


@needs_kernels
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_without_gradients_the_middle_has_the_same_bits(depth: int) -> None:
    layers = some_layers(depth)
    image = torch.randn(3, 1, 9, 8)
    for middle in range(depth - 1):
        expected = Kernels(FEATURES).convolve(image, layers, middle)
        with torch.no_grad():
            found = Kernels(FEATURES).convolve(image, layers, middle)
        for value, right in zip(found, expected, strict=True):
            assert value is not None
            assert right is not None
            assert torch.equal(value, right)
            assert value.untyped_storage().nbytes() == value.nbytes


@needs_kernels
def test_a_slice_has_the_same_bits_in_every_batch() -> None:
    layers = some_layers(3)
    image = torch.randn(4, 1, 10, 12)
    whole = Kernels(FEATURES).convolve(image, layers)[0]
    assert torch.equal(whole[2:3], Kernels(FEATURES).convolve(image[2:3], layers)[0])


@needs_bf16_kernels
@pytest.mark.parametrize(
    ("depth", "features"), [(2, 16), (3, 32), (5, 16), (4, 48), (2, 3), (4, 20)]
)
@pytest.mark.parametrize("size", [(21, 9), (16, 30), (60, 64)])
def test_in_bf16_it_is_about_as_near_as_the_library(
    size: tuple[int, int], depth: int, features: int
) -> None:
    assert_about_as_near_as_the_library(Kernels(features, "bf16"), depth, features, size)


@needs_kernels
@pytest.mark.parametrize("where", ["image", "weight"])
def test_what_is_not_a_number_shows(where: str) -> None:
    layers = [(weight.detach(), bias.detach()) for weight, bias in some_layers(4)]
    image = torch.randn(1, 1, 8, 8)
    (image if where == "image" else layers[1][0])[0, 0, 1, 1] = torch.nan
    assert Kernels(FEATURES).convolve(image, layers)[0].isnan().any()


@needs_kernels
def test_weights_in_another_memory_order_are_read_rightly() -> None:
    network = DCCNN(Network(depth=4, features=FEATURES, cascades=1))
    cascade = network.cascades[0]
    assert isinstance(cascade, Cascade)
    assert not cascade.convolutions[1].weight.is_contiguous()
    image = torch.randn(2, 1, 8, 10)
    with torch.no_grad():
        expected = cascade(image)
        use_kernels(network, "fp32")
        torch.testing.assert_close(cascade(image), expected, rtol=1e-5, atol=1e-6)


@needs_kernels
def test_other_number_formats_are_the_librarys() -> None:
    cascade = Cascade(Network(depth=3, features=FEATURES)).double()
    image = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    expected = cascade(image)
    use_kernels(cascade, "fp32")
    assert torch.equal(cascade(image), expected)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and nothing loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled.load.cache_clear()
    yield tmp_path
    compiled.load.cache_clear()


def test_without_a_compiler_it_says_so(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("CC", "")
    with pytest.raises(CompilationError, match="no C compiler found"):
        compiled.load(FEATURES, "avx2")


def test_a_compiler_that_fails_is_quoted_and_nothing_is_left(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = fresh / "broken-cc"
    compiler.write_text("#!/bin/sh\necho 'a warning\nfatal error: no tables' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(CompilationError, match="broken-cc failed: fatal error: no tables"):
        compiled.load(FEATURES, "avx2")
    assert not list(fresh.rglob("*.so"))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_cache_that_cannot_be_written_is_named(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh / "sft-kd-recon").write_text("a file where the folder should be")
    with pytest.raises(CompilationError, match=r"sft-kd-recon.* cannot be written"):
        compiled.load(FEATURES, "avx2")


def test_a_processor_that_cannot_run_them_is_told_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "aarch64"})
    with pytest.raises(CompilationError, match=r"for fp32 they need .* with avx512 or avx2"):
        Kernels(FEATURES)
    with pytest.raises(CompilationError, match=r"for bf16 .* with amx-bf16 or avx512-bf16"):
        Kernels(FEATURES, "bf16")


@needs_kernels
def test_it_is_compiled_once(fresh: Path) -> None:
    compiled.load(FEATURES, kinds_here("fp32")[0])
    (library,) = fresh.rglob("*.so")
    before = library.stat().st_mtime_ns
    compiled.load.cache_clear()
    compiled.load(FEATURES, kinds_here("fp32")[0])
    assert library.stat().st_mtime_ns == before
    assert list(library.parent.iterdir()) == [library]


def test_without_openmp_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernel_calls, "TORCH_LIBRARY", tmp_path / "libtorch_cpu.so")
    with pytest.raises(CompilationError, match=r"no OpenMP threads .*libtorch_cpu"):
        kernel_calls._openmp.__wrapped__()


@pytest.mark.parametrize("words", ['gcc "', "/"])
def test_a_compiler_that_is_none_is_told(
    words: str, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("CC", words)
    with pytest.raises(CompilationError, match=r"CC is|no C compiler"):
        compiled.load(FEATURES, "avx2")


def test_a_user_without_a_home_is_told(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: Any, **__: Any) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compiled, "user_cache_path", homeless)
    with pytest.raises(CompilationError, match="home directory"):
        compiled.load(FEATURES, "avx2")


@needs_kernels
def test_words_of_cc_do_not_change_the_bits(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = all_numbers(Kernels(FEATURES))
    monkeypatch.setenv("CC", " ".join([*compiled.find_compiler(), "-ffast-math"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(fresh / "other"))
    compiled.load.cache_clear()
    assert all(map(torch.equal, all_numbers(Kernels(FEATURES)), expected))
    # Numbers too small to be normal are still there: nothing set the processor to drop them.
    assert torch.tensor(1e-39).mul(0.5) > 0


@needs_kernels
def test_what_is_there_needs_no_compiler(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kinds_here("fp32")[0]
    compiled.load(FEATURES, kind)
    compiled.load.cache_clear()
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("CC", "")
    compiled.load(FEATURES, kind)
