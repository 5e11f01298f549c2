"""Phase (f): what comes back, in few and small files."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from benchmarks.gpu.phase import Run

#: The study's files by pattern, most wanted first; and bytes that they may have together.
WANTED = (
    "tables/*.md",
    "tables/*.csv",
    "*/*/seed*/*/history_*.csv",
    "*/*/seed*/*/manifest.json",
    "logs/**/*.log",
    "tables/*.manifest.json",
)
MOST_BYTES = 8 << 20
#: Folder of the study's records; its name is that of the folder they are meant for.
ARCHIVE = "archive/gpu"


def run(run: Run) -> None:
    """Zip the study's tables, histories, manifests and logs, and its records where it finished;
    the main table lies beside them."""
    results = run.settings.work / "study" / "results" / "gpu"
    packed, left = 0, MOST_BYTES
    with zipfile.ZipFile(run.settings.out / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for pattern in WANTED:
            for path in sorted(results.glob(pattern)):
                size = path.stat().st_size
                if size > left:
                    continue
                archive.write(path, path.relative_to(results))
                packed, left = packed + 1, left - size
    records = run.settings.work / "study" / ARCHIVE
    if (records / "README.md").exists():
        # As it is laid beside the documents: its folder is unpacked to docs/studies.
        with zipfile.ZipFile(run.settings.out / "records.zip", "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(records.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(records.parent))
    _copy(results / "tables" / "main.md", run.settings.out / "main.md")
    _copy(results / "report.html", run.settings.out / "report.html")
    run.lines.add("pack", "packed", files=packed, bytes=MOST_BYTES - left)


def _copy(source: Path, target: Path) -> None:
    if source.exists() and source.stat().st_size <= MOST_BYTES:
        shutil.copyfile(source, target)
