"""The report of studies of any size: pictures take little space, and many answers are counted."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reporting_helpers import dataset, study_with

from pipeline_src.errors import InputError
from pipeline_src.files import write_text
from pipeline_src.reporting.report import AT_A_GLANCE, embedded_image, write_report
from pipeline_src.reporting.tables.answers import COLUMNS


def pixels_of(address: str) -> tuple[str, Image.Image]:
    """Kind and picture of a data address."""
    kind, content = address.removeprefix("data:image/").split(";base64,")
    return kind, Image.open(BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_picture_keeps_its_pixels_in_less_space(mode: str, tmp_path: Path) -> None:
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    pixels = np.full((300, 400, *channels), 255, np.uint8)
    pixels[40:90, 100:220] = np.random.default_rng(0).integers(256, size=(50, 120, *channels))
    if mode == "RGBA":
        pixels[..., 3] = 255
    path = tmp_path / "a.png"
    Image.fromarray(pixels, mode).save(path)
    kind, image = pixels_of(embedded_image(path))
    assert kind == "webp"
    np.testing.assert_array_equal(image.convert(mode), pixels)
    assert len(embedded_image(path)) < 4 / 3 * path.stat().st_size + 100


def test_a_picture_that_is_too_high_for_its_format_stays_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (3, 1 << 14), "white").save(tmp_path / "a.png")
    kind, image = pixels_of(embedded_image(tmp_path / "a.png"))
    assert (kind, image.size) == ("png", (3, 1 << 14))


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    whole = BytesIO()
    Image.new("RGB", (200, 200), "white").save(whole, "PNG")
    for content in (b"", b"<svg></svg>", whole.getvalue()[:90]):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.png: is not a picture that can be shown"):
            embedded_image(tmp_path / "a.png")


@pytest.mark.parametrize("number", [AT_A_GLANCE, AT_A_GLANCE + 1])
def test_many_answers_and_data_sets_are_counted(number: int, tmp_path: Path) -> None:
    names = [f"set{k}" for k in range(number)]
    study = study_with(title="x", datasets={n: dataset(title=f"Title {n}") for n in names})
    rows = [
        f"{name},4x,Question?,a over b,0.1,0,0.2,0.05,0.1,6,patients and seeds,,"
        f"{'better,shown' if k else 'worse,refuted'},c"
        for k, name in enumerate(names)
    ]
    heading = ",".join(COLUMNS)
    write_text(tmp_path / "answers.csv", "\n".join([heading, *rows]) + "\n")
    for name in ("main", "answers"):
        write_text(tmp_path / f"{name}.html", "<table></table>")
    tables = [tmp_path / f"{name}.html" for name in ("main", "answers")]
    write_report(study, tables, [], "", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    lead = page[page.index('class="lead"') : page.index("per setting")]
    few = number == AT_A_GLANCE
    assert (f"{number} data sets" in lead) != few
    assert ("Title set3" in lead) == few
    # Each answer is there in any case.
    for name in names:
        assert f"Title {name} 4x: <b>" in page
    assert (f"<b>shown</b> in {number - 1} of {number} settings" in page) != few
    assert (f"<b>refuted (worse)</b> in 1 of {number} settings" in page) != few
