"""Sums up what one command has reconstructed: a line per result, and how good they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from pipeline_src.files import read_json, write_json
from pipeline_src.inference.volume_plan import Plan
from pipeline_src.planning.places import RECONSTRUCTIONS


@dataclass(frozen=True)
class Overview:
    """The results of one command.

    Attributes:
        results: of each its image, what was done, and its quality and that of the zero-filled
            image, None where there is no reference.
    """

    results: list[dict[str, Any]]

    @classmethod
    def of(cls, made: Iterable[tuple[Plan, Sequence[Path]]]) -> Overview:
        """From the plan of each result and its files: facts, contact sheet, image ..."""
        found = []
        for plan, (facts, _, image, *_) in made:
            told = read_json(facts)
            quality = told.get("quality", {})
            found.append(
                {
                    "image": str(image),
                    "mode": plan.mode,
                    "remark": plan.chosen.remark,
                    "quality": quality.get("reconstruction"),
                    "zero_filled": quality.get("zero_filled"),
                    "seconds_per_slice": told["seconds_per_slice"],
                }
            )
        return cls(found)

    def write(self, folder: Path) -> None:
        """Write the file of the summary into the output folder."""
        results = [
            one | {"image": Path(one["image"]).relative_to(folder).as_posix()}
            for one in self.results
        ]
        write_json(folder / RECONSTRUCTIONS, results)

    def quality(self) -> str:
        """The mean over what has a reference, in a few words; empty if nothing has."""
        measured = [(one["quality"], one["zero_filled"]) for one in self.results if one["quality"]]
        # A volume without any error has no PSNR.
        pairs = [pair for pair in measured if None not in (one["psnr_db"] for one in pair)]
        if not pairs:
            return ""
        (psnr, ssim), (before, ssim_before) = (
            (mean(one["psnr_db"] for one in half), mean(one["ssim"] for one in half))
            for half in zip(*pairs, strict=True)
        )
        return (
            f"mean over {len(pairs)}: {psnr:.2f} dB, SSIM {ssim:.4f} (zero-filled {before:.2f} dB, "
            f"{ssim_before:.4f})"
        )

    def worse(self) -> list[str]:
        """Images that are farther from the input than the zero-filled image is."""
        return [
            one["image"]
            for one in self.results
            if one["quality"] and one["quality"]["nmse"] > one["zero_filled"]["nmse"]
        ]
