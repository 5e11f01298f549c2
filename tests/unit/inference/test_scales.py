"""A scale that does not fit the volume is questioned, and one of another order is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from inference_helpers import SIZE, blobs, kspace_of, trained
from unit_helpers import one_line

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize("kind", ["image", "kspace"])
def test_a_scale_far_from_the_maximum_is_told_in_one_line(
    kind: str, tmp_path: Path, capsys: Output
) -> None:
    model, image = trained(tmp_path), blobs(SIZE, SIZE, 2)
    image /= image.max()
    path = tmp_path / ("a.npy" if kind == "image" else "a.npz")
    if kind == "image":
        np.save(path, image)
    else:
        samples = model.mask.samples
        np.savez(path, kspace=kspace_of(image, samples), mask=samples)
    for scale, said in ((0.2, True), (500, True), (1.2, False)):
        for _ in range(2):  # also where the result exists already
            assert model.reconstruct(tmp_path / str(scale), path, "--scale", str(scale)) == 0
            lines = [one for one in capsys.readouterr().err.splitlines() if "--scale" in one]
            assert len(lines) == said
            assert all(f"scale {scale})" in line and ": maximum " in line for line in lines)


@pytest.mark.parametrize("scale", ["1e-30", "1e-4", "2000", "1e30"])
def test_a_scale_of_another_order_is_refused(scale: str, tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npy", "--scale", scale) == 2
    assert "its maximum is 0." in one_line(capsys.readouterr().err)
    assert not list((tmp_path / "out").glob("a.*"))
