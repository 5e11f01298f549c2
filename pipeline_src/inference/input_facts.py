"""What is recorded of an input: the file, the mask and the size that it was reconstructed with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline_src.inference.volume_plan import Plan
from pipeline_src.sampling.effective import effective_acceleration


def facts_of(one: Plan, folder: Path, sha256: str) -> dict[str, Any]:
    """Facts of an input with the digest ``sha256``; its path is told from ``folder``."""
    volume, mask = one.volume, one.chosen.mask
    return {
        "input": {
            "path": os.path.relpath(volume.path.resolve(), folder.resolve()),
            "sha256": sha256,
            "shape": list(volume.shape),
            "rows_columns_slices": list(volume.size),
            "slices_along": dict(zip(("axis", "orientation"), volume.slicing, strict=True)),
            "is": volume.domain,
        },
        "mode": one.mode,
        "mask": {
            "whose": one.chosen.whose,
            "remark": one.chosen.remark,
            "sha256": mask.digest,
            "sampled_fraction": float(mask.samples.mean()),
            "effective_acceleration": effective_acceleration(mask),
            "description": mask.description,
        },
        "size": {
            "slices": list(one.fit.size),
            "network": list(one.fit.matrix),
            "how": one.fit.kind,
        },
    }
