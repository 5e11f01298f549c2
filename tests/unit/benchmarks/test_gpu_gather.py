"""What is carried to a GPU machine without network."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu.gather import HAS, RUN, read_lock, refuse_too_much, wanted
from pipeline_src.errors import InputError


def test_wheels_are_what_the_project_needs_and_the_machine_lacks(project_root: Path) -> None:
    names = [package.name for package in wanted(project_root / "requirements.lock", HAS)]
    needed = {"pydantic", "pydantic-core", "nibabel", "snakemake", "connection-pool", "regex"}
    assert needed <= set(names)
    # There already, of development, without use there, of another system or another Python.
    others = {"torch", "numpy", "contourpy", "sympy", "pytest", "ruff", "mypy", "pulp"}
    assert not (others | {"colorama", "importlib-resources"}) & set(names)


def test_what_the_machine_has_is_left_out_with_what_only_that_needs(project_root: Path) -> None:
    lock = project_root / "requirements.lock"
    before = {package.name for package in wanted(lock, HAS)}
    after = {package.name for package in wanted(lock, [*HAS, "Pydantic", "sqlmodel"])}
    assert {"pydantic", "pydantic-core", "annotated-types"} <= before - after


def test_versions_and_hashes_are_those_of_the_lock(project_root: Path) -> None:
    nibabel = read_lock((project_root / "requirements.lock").read_text())["nibabel"]
    assert nibabel.text.startswith("nibabel==")
    assert "--hash=sha256:" in nibabel.text
    assert "#" not in nibabel.text


def test_markers_are_those_of_the_target() -> None:
    text = (
        "one==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n    # via two\n"
        "two==2.0 ; python_full_version >= '3.12' \\\n    --hash=sha256:11\n"
        "three==3.0 \\\n    --hash=sha256:22\n    # via\n    #   two\n    #   one\n"
    )
    found = read_lock(text)
    assert list(found) == ["two", "three"]
    assert found["three"].needed_by == {"one", "two"}


def test_too_much_is_refused_with_what_is_largest(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"0" * 10)
    (tmp_path / "large").write_bytes(b"0" * 1000)
    refuse_too_much(tmp_path, most=2000)
    with pytest.raises(InputError, match=r"at most .* largest: large .*, small"):
        refuse_too_much(tmp_path, most=500)


def test_the_script_installs_and_runs(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    (folder / "wheels").mkdir(parents=True)
    wheel = folder / "wheels" / "carried-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("carried.py", "print('carried here')")
        information = "carried-1.0.dist-info"
        archive.writestr(
            f"{information}/METADATA", "Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n"
        )
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{information}/WHEEL", tags)
        archive.writestr(f"{information}/RECORD", "")
    (folder / "run.sh").write_text(RUN)
    done = subprocess.run(
        ["sh", str(folder / "run.sh"), "python", "-c", "import carried"],
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "SITE": str(tmp_path / "site"),
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout == "carried here\n", done.stderr
