"""Configuration of who runs a study, for its RO-Crate."""

from __future__ import annotations

from pydantic import Field, field_validator

from pipeline_src.config.section import Section, Title


class Author(Section):
    """Who runs the study."""

    name: Title = Field(min_length=1, description="name")
    orcid: str | None = Field(default=None, description="ORCID, such as 0000-0002-1825-0097")

    @field_validator("orcid")
    @classmethod
    def _checked(cls, orcid: str | None) -> str | None:
        if orcid is not None and not _is_orcid(orcid):
            raise ValueError(
                f"{orcid!r:.40} is no ORCID: four groups of four digits, the last of which checks "
                "the others"
            )
        return orcid


def _is_orcid(text: str) -> bool:
    """Whether the form and the check digit (ISO 7064 MOD 11-2) are right."""
    groups = text.split("-")
    digits = "".join(groups)
    if [len(group) for group in groups] != [4] * 4 or not digits[:15].isdecimal():
        return False
    total = 0
    for digit in digits[:15]:
        total = 2 * (total + int(digit))
    return digits[15] == "0123456789X"[(12 - total % 11) % 11]
