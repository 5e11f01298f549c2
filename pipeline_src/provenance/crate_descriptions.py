"""Says what the files of a study are, for its RO-Crate."""

from __future__ import annotations

from pipeline_src.planning import places as layout

#: Descriptions of the files in a crate: the first pattern that a path in the results matches.
DESCRIPTIONS = (
    (
        f"*{layout.MANIFEST}",
        "What made the results beside it: inputs, code, packages, machine and time",
    ),
    (layout.CONFIG, "Configuration of the study, every value included"),
    (layout.REPORT, "The report: tables, figures and methods on one page that opens offline"),
    (
        f"{layout.TABLE_FOLDER}/all_numbers.*",
        "Every number: one row per volume, model, seed and metric",
    ),
    ("tables/main.*", "The paper's main table: PSNR and SSIM of every model"),
    ("tables/ablation_*", "Table of an ablation: what a choice of the method does"),
    ("tables/claims.*", "Table: what the paper claims, and whether it holds in this study"),
    ("tables/differences.*", "Table: differences between models, with intervals and tests"),
    ("tables/gap.*", "Table: how far each model stays below the teacher"),
    ("tables/paper.*", "Table: this study's numbers beside the paper's"),
    (
        f"{layout.TABLE_FOLDER}/cost.*",
        "Cost of teacher and student: parameters, multiply-adds, time and memory",
    ),
    ("tables/error_bounds.*", "Table: for how many patients the bounds of errors hold"),
    ("tables/robustness.*", "Table: what models lose under shifts, with intervals"),
    ("tables/*", "Table of the study"),
    ("figures/dag.*", "Figure: the steps of the workflow"),
    ("figures/networks.*", "Figure: teacher, student and branches, as configured"),
    ("figures/recipes.*", "Figure: how students are distilled, as configured"),
    ("figures/*/panel*.*", "Figure: reconstructions beside the fully sampled slice"),
    ("figures/*/boxplot*.*", "Figure: image quality of all models"),
    ("figures/*/forest.*", "Figure: differences between models, with intervals"),
    ("figures/*/robustness.*", "Figure: what models lose under shifts, with intervals"),
    ("figures/*/curves.*", "Figure: learning curves"),
    ("figures/*/mask.*", "Figure: the sampling mask"),
    ("figures/*/contact_sheet.*", "Figure: a slice of every prepared volume"),
    ("figures/*", "Figure of the study"),
    (f"*/{layout.MASK}", "Sampling mask, rows x columns in FFT order"),
    (
        f"*/{layout.history('*')}",
        "Losses and validation PSNR of a training stage, one row per epoch",
    ),
    (f"*/{layout.SLICES}", "Metrics of every reconstructed slice"),
    (f"*/{layout.VOLUMES}", "Metrics of every reconstructed volume"),
    (layout.COST, "Measured cost of teacher and student"),
    (layout.RUNTIME_COST, "Measured cost and quality of teacher and student in other runtimes"),
    (f"*/{layout.ROBUSTNESS}/*.csv", "Metrics of reconstructed volumes under a shift"),
    (
        f"*/{layout.ERROR_BOUNDS}/*.json",
        "Calibrated bound of a model's errors, and how far it held",
    ),
    (f"*/{layout.STUDENT_WEIGHTS}", "Weights of the student blocks of student-friendly training"),
    (f"*/{layout.WEIGHTS}", "Weights of the trained network"),
)
FORMATS = {
    ".csv": "text/csv",
    ".h5": "application/x-hdf5",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".npz": "application/zip",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".safetensors": "application/octet-stream",
    ".tex": "application/x-tex",
    ".yaml": "application/yaml",
}
