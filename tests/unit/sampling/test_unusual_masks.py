"""Given masks that are not in FFT order, or not of the acceleration that they are named under."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline_src.config.load import check_study
from pipeline_src.errors import InputError
from pipeline_src.modules import PACKAGE
from pipeline_src.sampling.given_masks import mask_file, mask_from_file, study_mask
from pipeline_src.sampling.masks import drawn_mask, lines_mask

MATRIX = (48, 40)
FFT = [0, 1, 2, 3, 10, 17, 25, 31, 40, 45, 46, 47]
LINES = np.isin(np.arange(48), FFT)
UNCENTRED = "does not sample the lowest frequencies"


def npy(folder: Path, array: Any) -> Path:
    np.save(folder / "mask.npy", array)
    return folder / "mask.npy"


def refusal(path: Path, acceleration: int = 4, matrix: tuple[int, int] = MATRIX) -> str:
    with pytest.raises(InputError) as caught:
        mask_from_file(path, matrix, acceleration)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def points(seed: int) -> NDArray[np.bool_]:
    """A 2-D mask at 4x in FFT order, its centre sampled."""
    rows = np.fft.fftfreq(48)[:, None]
    columns = np.fft.fftfreq(40)[None, :]
    near = rows**2 + columns**2 < 0.003
    rng = np.random.default_rng(seed)
    return near | (rng.random(MATRIX) < (0.25 - near.mean()) / (1 - near.mean()))


@pytest.mark.parametrize("whole", [True, False])
def test_mask_in_fft_order_is_taken(whole: bool, tmp_path: Path) -> None:
    mask = mask_from_file(npy(tmp_path, lines_mask(LINES, 40) if whole else points(0)), MATRIX, 4)
    assert mask.description["sampled_fraction"] == pytest.approx(0.25, rel=0.1)
    assert "unusual" not in mask.description


@pytest.mark.parametrize("lines", range(24, 100))
def test_drawn_masks_are_usual(lines: int, tmp_path: Path) -> None:
    drawn = drawn_mask((lines, lines), 4, lines, 5)
    path = npy(tmp_path, drawn.samples[:, 0])
    assert np.array_equal(mask_from_file(path, (lines, lines), 4).samples, drawn.samples)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.fft.fftshift(LINES), "it is in centred order: apply numpy.fft.ifftshift"),
        (np.fft.fftshift(points(1)), "it is in centred order: apply numpy.fft.ifftshift"),
        (np.fft.fftshift(points(2), axes=1), "it is in centred order: apply"),
        (
            np.isin(np.arange(48), [*range(1, 8), *range(40, 45)]),
            "its lines are counted from 1: subtract 1",
        ),
        (np.isin(np.arange(48), range(0, 48, 4)), UNCENTRED),
        (np.isin(np.arange(48), range(2, 48, 4)), UNCENTRED),
    ],
    ids=["centred", "centred points", "centred columns", "from 1", "regular", "regular, shifted"],
)
def test_mask_that_is_not_in_fft_order_is_refused_with_the_remedy(
    samples: NDArray[np.bool_], said: str, tmp_path: Path
) -> None:
    line = refusal(npy(tmp_path, samples))
    assert UNCENTRED in line
    assert said in line
    assert "allow_unusual_masks: true" in line


def test_centred_mask_that_happens_to_sample_the_corners_is_refused(tmp_path: Path) -> None:
    lines = np.isin(np.arange(48), [0, 1, 47, 20, 21, 22, 23, 24, 25, 26, 27, 28])
    assert "it is in centred order" in refusal(npy(tmp_path, lines))


@pytest.mark.parametrize("first", [0, 1])
def test_csv_in_centred_order_is_refused(first: int, tmp_path: Path) -> None:
    path = tmp_path / "mask.csv"
    centred = np.flatnonzero(np.fft.fftshift(LINES)) + first
    path.write_text("line\n" + "\n".join(map(str, centred)))
    assert "it is in centred order" in refusal(path)


def test_csv_that_counts_from_1_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.csv"
    path.write_text("line\n" + "\n".join(str(line + 1) for line in FFT))
    assert "lines count from 0: subtract 1 from each" in refusal(path)


def test_transposed_mask_is_refused(tmp_path: Path) -> None:
    square = lines_mask(LINES, 48).T
    assert "lines along axis 1 (give its transpose)" in refusal(npy(tmp_path, square), 4, (48, 48))
    assert "give its transpose" in refusal(npy(tmp_path, lines_mask(LINES, 40).T))


@pytest.mark.parametrize(
    ("samples", "acceleration", "said"),
    [
        (LINES, 5, "samples 12 of 48 lines, which is 4x and not 5x"),
        (LINES, 2, "which is 4x and not 2x"),
        (points(3), 6, "x and not 6x"),
        (np.ones(48), 4, "samples 48 of 48 lines, which is 1x and not 4x"),
        (np.ones(MATRIX), 4, "which is 1x and not 4x"),
    ],
)
def test_mask_of_another_acceleration_is_refused_with_its_own(
    samples: NDArray[Any], acceleration: int, said: str, tmp_path: Path
) -> None:
    assert said in refusal(npy(tmp_path, samples), acceleration)


@pytest.mark.parametrize("count", [7, 8])
def test_both_roundings_of_the_number_of_lines_are_usual(count: int, tmp_path: Path) -> None:
    lines = np.isin(np.arange(30), [0, 1, 2, 29, 28, 8, 15, 20][:count])
    assert mask_from_file(npy(tmp_path, lines), (30, 30), 4).lines is not None


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (LINES.astype(np.complex64), "type complex64"),
        (np.zeros(48, [("line", "i4"), ("weight", "f4")]), "a mask has 0 and 1 alone"),
        (np.where(LINES, "1", "0"), "a mask has 0 and 1 alone"),
        (np.array(["2020-01-01"] * 48, "M8[D]"), "a mask has 0 and 1 alone"),
        (LINES * 0.999999, "values other than 0 and 1"),
        (np.array(FFT), "mask of 12, but preparation.matrix is 48x40"),
        (lines_mask(LINES, 40)[..., None], "mask of 48x40x1"),
        (np.float32(1), "mask of "),
    ],
)
def test_array_that_is_no_mask_is_refused_even_if_unusual_ones_are_allowed(
    array: NDArray[Any], said: str, tmp_path: Path
) -> None:
    path = npy(tmp_path, array)
    with pytest.raises(InputError) as caught:
        mask_from_file(path, MATRIX, 4, allow_unusual=True)
    assert said in str(caught.value)


def test_array_that_claims_more_than_its_file_holds_is_refused(tmp_path: Path) -> None:
    path = npy(tmp_path, LINES)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(48,), }" + b" " * 12, b"(48000000000000,), }"))
    assert path.read_bytes() != whole
    assert "is not a mask" in refusal(path)


def study_of(path: str, tiny_study: dict[str, Any], **keys: Any) -> Any:
    heads = tiny_study["datasets"]["heads"]
    heads |= {"masks": {4: path}, "preparation": {"matrix": list(MATRIX)}} | keys
    return check_study(tiny_study)


def test_unusual_mask_is_allowed_by_its_key_and_described(
    tiny_study: dict[str, Any], tmp_path: Path
) -> None:
    path = npy(tmp_path, np.isin(np.arange(48), range(0, 48, 5)))
    with pytest.raises(InputError):
        study_mask(study_of(str(path), tiny_study), "heads", 4)
    mask = study_mask(study_of(str(path), tiny_study, allow_unusual_masks=True), "heads", 4)
    centre, share = mask.description["unusual"]
    assert UNCENTRED in centre
    assert "4.8x and not 4x" in share
    assert mask.description["dataset"] == "heads"
    assert mask.description["sampled_fraction"] == pytest.approx(10 / 48)


def test_drawn_mask_is_described_too(tiny_study: dict[str, Any]) -> None:
    mask = study_mask(check_study(tiny_study), "heads", 4)
    assert mask.description["dataset"] == "heads"
    assert mask.description["sampled_fraction"] == 0.25


def test_mask_is_found_where_the_pipeline_runs_then_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    authors = "config/authors_masks.csv"
    assert mask_file(authors) == PACKAGE.parent / authors
    assert mask_file("nowhere.csv") == Path("nowhere.csv")
    (tmp_path / "config").mkdir()
    (tmp_path / authors).touch()
    assert mask_file(authors) == Path(authors)
    monkeypatch.setenv("HOME", "/home/of/user")
    monkeypatch.setenv("MASKS", "/some/masks")
    assert mask_file("~/m.npy") == Path("/home/of/user/m.npy")
    assert mask_file("$MASKS/m.npy") == Path("/some/masks/m.npy")
    assert mask_file("${MASKS}/m.npy") == Path("/some/masks/m.npy")
    assert mask_file("~no-such-user/m.npy") == Path("~no-such-user/m.npy")
