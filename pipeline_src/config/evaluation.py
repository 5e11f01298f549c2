"""Configuration of how differences are judged and what is shown."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, field_validator

from pipeline_src.config.error_bounds import ErrorBounds
from pipeline_src.config.runtimes import RUNTIME_PACKAGES
from pipeline_src.config.section import Section


class Margins(Section):
    """Differences that do not matter, per metric in its unit: what lies within is equivalent."""

    psnr_db: PositiveFloat | None = Field(default=0.05, description="PSNR (dB)")
    ssim: PositiveFloat | None = Field(default=0.0005, description="SSIM")
    hfn: PositiveFloat | None = Field(default=None, description="HFN; null: not tested")
    vif: PositiveFloat | None = Field(default=None, description="VIF; null: not tested")
    nmse: PositiveFloat | None = Field(default=None, description="NMSE; null: not tested")


class ExpectedSpread(Section):
    """How far the difference between two models is expected to vary, for the effect that a study of
    this size can detect."""

    between_seeds_db: PositiveFloat = Field(
        default=0.1, description="standard deviation between seeds, of the patients' mean (dB)"
    )
    between_patients_db: PositiveFloat = Field(
        default=0.1, description="standard deviation between patients, of the seeds' mean (dB)"
    )


class Evaluation(Section):
    """How differences are judged, and what is shown of the reconstructions."""

    margins: Margins = Field(
        default=Margins(),
        description="margins of equivalence; choose them before the results are known",
    )
    expected_spread: ExpectedSpread = Field(
        default=ExpectedSpread(), description="for the detectable effect in `estimate`"
    )

    compared_methods: list[str] = Field(
        default=[],
        description="methods that are each compared with every other one, by recipe; name your own "
        "here before its results are known",
    )

    panel_methods: list[str] | None = Field(
        default=None,
        min_length=1,
        description="methods whose students are shown in panels, curves and schemes; null: the "
        "first, and in curves attention transfer where there is one, as in the paper",
    )

    runtimes: list[str] = Field(
        default=[],
        description="runtimes besides torch in which the first setting's teacher and student are "
        f"measured, for a table of speed, size and quality: {', '.join(RUNTIME_PACKAGES)}",
    )

    error_bounds: ErrorBounds | None = Field(
        default=None,
        description="calibrate a bound of the error of each pixel, and try it on the test "
        "patients; null: none",
    )

    @field_validator("runtimes")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in RUNTIME_PACKAGES:
                raise ValueError(
                    f"{name!r} is not a runtime; there are {', '.join(RUNTIME_PACKAGES)}"
                )
        if len(set(names)) < len(names):
            raise ValueError("a runtime is named twice")
        return names
