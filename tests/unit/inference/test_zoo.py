"""Released weights are whole, and give what they gave when they were released."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline_src.inference import load
from pipeline_src.inference.bundle import check_bundle
from pipeline_src.inference.bundle_files import read_config

ZOO = Path(__file__).resolve().parents[3] / "zoo"
BUNDLES = sorted(path.parent for path in ZOO.glob("*/config.json"))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_released_bundle_is_whole_and_computes_its_sample(bundle: Path) -> None:
    found = check_bundle(bundle)
    assert any(line.startswith("torch ") for line in found)
    assert not any("is not this version's" in line for line in found)
    assert sum(path.stat().st_size for path in bundle.iterdir()) < 2 << 20
    card = (bundle / "README.md").read_text()
    assert "CC-BY-NC-SA-4.0" in card
    assert "PSNR (dB)" in card


def test_the_zoo_has_a_teacher_and_students() -> None:
    depths = [read_config(bundle).network.depth for bundle in BUNDLES]
    assert sorted(depths) == [3, 3, 5]
    # Not drawn phantoms.
    assert not any(read_config(bundle).origin.synthetic for bundle in BUNDLES)


def test_values_that_are_no_image_of_maximum_1_are_questioned() -> None:
    network = load(ZOO / "acdc_4x_student")
    image = torch.rand(2, 1, *network.config["matrix"])
    image /= image.max()
    for use in (network.undersample, network):
        for number in (float("nan"), float("inf")):
            wrong = image.clone()
            wrong[1, 0, 2, 3] = number
            with pytest.raises(ValueError, match="holds NaN or infinite values"):
                use(wrong)
        with pytest.warns(UserWarning, match=r"to 1000; the network is for magnitudes divided"):
            use(1000 * image)
    with pytest.warns(UserWarning, match="image has values from -"):
        network.undersample(image - 0.5)
    assert network(network.undersample(image[:0])).shape == image[:0].shape
