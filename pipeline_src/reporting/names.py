"""How models are called and ordered wherever people read."""

from __future__ import annotations

#: Rows of the paper's table.
MODEL_TITLES = {
    "zero_filled": "Zero-filled",
    "teacher": "Teacher",
    "student": "Student",
    "student_matched": "Student, as many epochs",
    "student_sft_start": "Student from SFT blocks",
    "fitnets": "FitNets",
    "at": "AT",
    "cc": "CC",
    "fsp": "FSP",
    "sp": "SP",
}
RECIPE_TITLES = {"std_kd": "Std-KD", "sft_kd": "SFT-KD-Recon"}
METRIC_TITLES = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "hfn": "HFN", "vif": "VIF", "nmse": "NMSE"}
#: Stands where a table has no value.
MISSING = "\N{EN DASH}"
LOWER_IS_BETTER = ("hfn", "nmse")
#: Tables of every study besides its ablations, in the order of the report.
TABLES = ("main", "claims", "differences", "gap", "paper", "hfn", "vif", "nmse")
TABLE_TITLES = {
    "main": "Image quality",
    "claims": "The paper's claims",
    "differences": "Differences and their tests",
    "gap": "Gap to the teacher",
    "paper": "Beside the paper's values",
    "hfn": "High-frequency error norm",
    "vif": "Visual information fidelity",
    "nmse": "Normalised mean squared error",
    "cost": "Cost of teacher and student",
}
#: Column of the paper's table that a training belongs to.
COLUMN_OF_TRAINING = {
    "none": "std_kd",
    "standard": "std_kd",
    "std_kd": "std_kd",
    "sft": "sft_kd",
    "sft_kd": "sft_kd",
}


def model_title(model: str) -> str:
    """A method of one's own is shown by its name."""
    return MODEL_TITLES.get(model, model)


def full_title(model: str, training: str) -> str:
    """A model and how it was trained, in a few words: `Std-KD AT`, `SFT teacher`."""
    if training in RECIPE_TITLES:
        return f"{RECIPE_TITLES[training]} {model_title(model)}"
    return "SFT teacher" if (model, training) == ("teacher", "sft") else model_title(model)


def model_order(models: list[str]) -> list[str]:
    """Models in the paper's order, those it does not have last."""
    known = [m for m in MODEL_TITLES if m in models]
    return known + sorted(set(models) - set(known))
