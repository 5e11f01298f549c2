"""Source files outside this package, of which the results of a user's own code tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_src.modules import locate
from pipeline_src.planning.step_code import digests, sources


def test_modules_elsewhere_are_told_apart_and_their_helpers_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two may have the name of a file in common, with each other or with one of this package."""
    for name, text in {
        "lossa/__init__.py": "",
        "lossa/block.py": "import shared_gain\nfrom common_here.gain import GAIN\nimport torch\n",
        "neta/__init__.py": "",
        "neta/block.py": "import tensors\n",
        "common_here/__init__.py": "",
        "common_here/gain.py": "GAIN = 1\n",
        "shared_gain.py": "",
        "tensors.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    locate.cache_clear()
    found = set(digests(sources("lossa.block", "neta.block")))
    locate.cache_clear()
    assert found >= {
        "../lossa/block.py",
        "../neta/block.py",
        "../common_here/gain.py",
        "../shared_gain.py",
        "../tensors.py",
    }
    assert not any("torch" in name for name in found)
