"""The smallest study; tests change what they are about."""

from __future__ import annotations

from typing import Any

TINY_STUDY: dict[str, Any] = {
    "study": "tiny",
    "accelerations": [4],
    "datasets": {
        "heads": {
            "source": {
                "kind": "phantom",
                "anatomy": "brain",
                "patients": 4,
                "slices": 1,
                "matrix": 16,
            },
            "preparation": {"matrix": [16, 16]},
            "split": {"train": 2, "validation": 1, "test": 1},
        }
    },
    "sampling": {"center_lines": 2},
    "training": {"epochs": 1, "threads": 1, "device": "cpu"},
}
