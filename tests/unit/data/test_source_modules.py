"""What the module of every kind of source has to provide."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline_src.config.datasets import Source
from pipeline_src.data.sources import check_source
from pipeline_src.errors import InputError

SOURCE: TypeAdapter[Any] = TypeAdapter(Source)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("list_volumes", r"lacks the function list_volumes\(source, data_root\)"),
        ("DESCRIPTION", "lacks the text DESCRIPTION"),
    ],
)
def test_source_that_lacks_something_is_named(
    missing: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCE.validate_python({"kind": "acdc", "path": "."})
    check_source(source)
    monkeypatch.delattr(f"pipeline_src.data.sources.acdc.{missing}")
    with pytest.raises(InputError, match=rf"acdc\.py: {said}"):
        check_source(source)


def test_kind_without_a_module_is_named() -> None:
    source = SOURCE.validate_python({"kind": "acdc", "path": "."}).model_copy(
        update={"kind": "fastmri"}
    )
    with pytest.raises(InputError, match=r"source\.kind: 'fastmri' has no module"):
        check_source(source)


@pytest.mark.parametrize(
    ("source", "turns"),
    [
        ({"kind": "nifti", "path": "."}, 1),
        ({"kind": "acdc", "path": "."}, 1),
        ({"kind": "mrbrains", "path": "."}, 1),
        ({"kind": "authors_hdf5", "path": "."}, 0),
        (
            {"kind": "phantom", "anatomy": "brain", "patients": 1, "slices": 1, "matrix": 16},
            0,
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_every_source_says_what_it_is_and_how_it_is_shown(
    source: dict[str, Any], turns: int
) -> None:
    module = check_source(SOURCE.validate_python(source))
    assert module.DESCRIPTION
    assert getattr(module, "DISPLAY_QUARTER_TURNS", 0) == turns
