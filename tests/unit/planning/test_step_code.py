"""Which source files each step depends on: those that it runs, and no others."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from training_helpers import study_with

from pipeline_src.config.reference import source_kinds
from pipeline_src.config.shifts import Shift
from pipeline_src.modules import locate
from pipeline_src.planning.plans import training_plan
from pipeline_src.planning.step_code import PACKAGE, code_of, is_neutral, sources
from pipeline_src.planning.steps import (
    calibrate_step,
    cost_step,
    crate_step,
    evaluate_step,
    figure_step,
    mask_step,
    prepare_step,
    reconstruct_step,
    report_step,
    robustness_step,
    runtimes_step,
    tables_step,
    training_code,
)
from pipeline_src.reporting.figures.kinds import KINDS

STUDY = study_with()
STEPS = {
    "prepare": prepare_step(STUDY, "tiny").code,
    "mask": mask_step(STUDY, "tiny", 4).code,
    "train": training_code(training_plan(STUDY, "teacher", 0)),
    "distil at": training_code(training_plan(STUDY, "std_kd_at", 0)),
    "distil fsp": training_code(training_plan(STUDY, "std_kd_fsp", 0)),
    "evaluate": evaluate_step("test").code,
    "robustness": robustness_step("test", Shift("noise", "0.01"), 0, 10).code,
    "cost": cost_step().code,
    "runtimes": runtimes_step("test", []).code,
    "calibrate": calibrate_step(0.9, 0.8).code,
    "reconstruct": reconstruct_step({}, []).code,
    "tables": tables_step(STUDY, PACKAGE.parent / "config/paper_results.csv").code,
    "report": report_step(STUDY, PACKAGE.parent / "config/paper.yaml").code,
    **{f"figure {kind}": figure_step(kind, "").code for kind in KINDS},
}
TRAININGS = {"train", "distil at", "distil fsp"}
FIGURES = {name for name in STEPS if name.startswith("figure")}
NAMING_METRICS = FIGURES - {"figure mask", "figure networks"}
#: Steps that compute with networks.
NETWORKS = {*TRAININGS, "evaluate", "robustness", "cost", "runtimes", "calibrate", "reconstruct"}


def steps_of(module: str) -> set[str]:
    path = PACKAGE / module
    assert path.exists(), module
    return {name for name, files in STEPS.items() if path in files}


@pytest.mark.parametrize(
    ("module", "steps"),
    [
        ("training/engine.py", TRAININGS),
        ("training/step.py", TRAININGS),
        ("training/stages.py", TRAININGS),
        ("training/device.py", {*TRAININGS, "cost", "reconstruct"}),
        ("models/dccnn.py", NETWORKS),
        ("acceleration/cascade.c", NETWORKS),
        ("acceleration/vectors.h", NETWORKS),
        ("sampling/masks.py", {*NETWORKS, "mask", "figure mask", "report"}),
        ("sampling/effective.py", {"report", "reconstruct"}),
        ("sampling/families.py", {"robustness"}),
        ("evaluation/robustness.py", {"robustness"}),
        ("data/store.py", {*NETWORKS, "prepare", "figure contact_sheet", "report"}),
        ("data/preparation.py", {"prepare", "reconstruct", "runtimes"}),
        ("data/sources/phantom.py", {"prepare", "report"}),
        ("distillation/losses/at.py", {"distil at"}),
        ("distillation/losses/fsp.py", {"distil fsp"}),
        # It also says what metrics are called.
        (
            "evaluation/metrics.py",
            {
                "evaluate",
                "robustness",
                "reconstruct",
                "runtimes",
                "calibrate",
                "tables",
                "report",
                *NAMING_METRICS,
            },
        ),
        ("reporting/figure_style.py", {*FIGURES, "reconstruct"}),
        ("inference/kspace.py", {"reconstruct"}),
        ("inference/nifti_kind.py", {"reconstruct"}),
        ("inference/sheet.py", {"reconstruct"}),
        ("inference/volume_plan.py", {"reconstruct"}),
        ("inference/calibration.py", {"calibrate", "reconstruct", "runtimes"}),
        ("inference/error_bound.py", {"calibrate", "reconstruct", "runtimes", "tables"}),
        ("reporting/figures/panel.py", {f for f in FIGURES if f.startswith("figure panel")}),
        ("reporting/figures/schematic.py", {"figure dag", "figure networks", "figure recipes"}),
        ("reporting/report.html.j2", {"report"}),
        ("reporting/reviewers/reviewers.html.j2", {"report"}),
        ("config/shifts.py", {"robustness", "tables", "figure robustness"}),
        ("config/presets.py", {"report"}),
        ("models/multiply_adds.py", {"cost", "figure recipes"}),
        # The page allows this script by its digest.
        ("reporting/tables/sortable.js", {"tables", "report"}),
    ],
)
def test_a_module_shapes_these_steps(module: str, steps: set[str]) -> None:
    assert steps_of(module) == steps


@pytest.mark.parametrize(
    "module",
    [
        "data/sources/acdc.py",
        "running/training_run.py",
        "running/progress.py",
        "running/training_lock.py",
        "running/gpus.py",
        "running/checkpointing.py",
        "running/resume_state.py",
        "running/interruption.py",
        "running/finished.py",
        "models/authors.py",
        "models/pickled_tensors.py",
        "models/pickle_scan.py",
        "evaluation/parity.py",
        "planning/outdated.py",
        "planning/plans.py",
        "planning/shown.py",
        "planning/study_models.py",
        "planning/results.py",
        "planning/steps.py",
        "planning/step_code.py",
        "reporting/figures/kinds.py",
        "config/study.py",
        "config/distillation.py",
        "provenance/manifest.py",
        "files.py",
        "npz_files.py",
        "errors.py",
        "cli.py",
        "commands/__init__.py",
        "commands/train.py",
        "provenance/lineage.py",
        "operations/preflight.py",
        "operations/snakemake_run.py",
        "acceleration/fork_server.py",
        "operations/status/reading.py",
        "operations/estimate/work.py",
        "operations/cluster/launcher.py",
    ],
)
def test_a_module_shapes_no_step(module: str) -> None:
    assert steps_of(module) == set()


def test_an_edit_of_any_module_is_decided_on() -> None:
    """A new module shapes a step, or is one of those that none depends on."""
    shaping = {path for files in STEPS.values() for path in files} | set(crate_step().code)
    shaping |= {path for kind in source_kinds() for path in sources(f"data.sources.{kind}")}
    others = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path not in shaping and not is_neutral(_name(path))
    }
    known = {"distillation/losses", "models/kinds"}
    single = {"__main__.py", "evaluation/parity.py", "models/authors.py"}
    single |= {"models/pickled_tensors.py", "models/pickle_scan.py", "provenance/crate_content.py"}
    single |= {
        "distillation/trial.py",
        "inference/bundle.py",
        "inference/card.py",
        "inference/onnx_export.py",
    }
    left = {name for name in others if str(Path(name).parent) not in known} - single
    assert {name for name in left if (PACKAGE / name).read_text().strip()} == set()


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


#: Loaded by a training besides what shapes it: they keep the process alive and write what it made.
RUNNING = {"__main__", "reporting.tables.method_options"}
RUNNING |= {"planning.model_names", "models.multiply_adds", "text"}
#: Read with every configuration; they shape the results that name what they define.
RUNNING |= {"config.presets", "config.shifts"}

WATCHED = """
import sys
from pipeline_src.cli import main
status = main(sys.argv[1:])
loaded = [n for n in sys.modules if n.startswith("pipeline_src.")]
print("LOADED", *loaded)
sys.exit(status)
"""


def loaded_by(*arguments: str) -> set[str]:
    """Modules that shape something, of all that a command loads."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments], capture_output=True, text=True, check=True
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    return {
        name.removeprefix("pipeline_src.")
        for name in line.split()[1:]
        if not is_neutral(name) and (locate(name) or Path()).read_text().strip()
    } - {"reporting", "reporting.figures"}


def modules(files: list[Path]) -> set[str]:
    return {_name(p).removeprefix("pipeline_src.") for p in files if p.suffix == ".py"}


def test_what_commands_load_is_what_their_steps_depend_on(tmp_path: Path) -> None:
    """A second opinion on the reading of imports: the modules that are loaded when steps run."""
    import yaml

    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(STUDY.model_dump(mode="json")))
    setting = ("--config", str(config), "--dataset", "tiny")
    store, mask = str(tmp_path / "volumes.h5"), str(tmp_path / "mask.npz")
    files = ("--data", store, "--mask", mask)
    by_step = {
        "prepare": ("prepare", *setting, "--output", store),
        "mask": ("mask", *setting, "--acceleration", "4x", "--output", mask),
        "train": (
            *("train", *setting, *files, "--acceleration", "4x", "--model", "teacher"),
            *("--seed", "0", "--output", str(tmp_path / "teacher")),
        ),
        "evaluate": (
            *("evaluate", str(tmp_path / "teacher"), *files, "--dataset", "tiny"),
            *("--acceleration", "4x", "--part", "test"),
        ),
    }
    for step, arguments in by_step.items():
        loaded = loaded_by(*arguments)
        # Found by name while it runs, or shaping nothing of this step.
        besides = RUNNING | (
            {"sampling.given_masks", "sampling.masks", "sampling.unusual_masks"}
            if step == "prepare"
            else set()
        )
        assert loaded - modules(STEPS[step]) - besides == set(), step


def test_a_loss_of_ones_own_brings_its_helpers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own_losses"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helper.py").write_text("TWO = 2\n")
    (folder / "unused.py").write_text("")
    (folder / "twice.py").write_text("from own_losses.helper import TWO\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = sources("training.stages", "own_losses.twice")
    assert {folder / "twice.py", folder / "helper.py"} <= set(found)
    assert folder / "unused.py" not in found
    with pytest.raises(ModuleNotFoundError):
        sources("own_losses.nowhere")


PLAIN = b"""import os

TEXT = "# no comment"


class A:
    def f(self, x):
        return f"{x}#" + '''#
text'''
"""
COMMENTED = b'''"""A module."""

import os  # for nothing
TEXT = "# no comment"


class A:
    """A class.

    # more of it, \xc3\xa9
    """

    def f(self, x):
        """A function."""
        # It returns.

        return f"{x}#" + \'\'\'#
text\'\'\'  # the end
'''


def test_comments_and_docstrings_are_no_code() -> None:
    assert code_of(COMMENTED) == code_of(PLAIN)
    assert code_of(PLAIN) != code_of(PLAIN.replace(b"no comment", b"a comment"))
    assert code_of(b"x = 1\n") != code_of(b"x = 2\n")
    assert code_of(b"def f():\n    '''All.'''\n") == "def f():"


def test_every_module_is_reduced_to_its_code() -> None:
    """What is cut out changes nothing of what a module means."""
    files, unread = sorted(PACKAGE.rglob("*.py")), 0
    for path in files:
        kept = code_of(path.read_bytes())
        whole = ast.parse(path.read_bytes())
        for node in ast.walk(whole):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module) and (
                ast.get_docstring(node) is not None
            ):
                node.body[0] = ast.Pass()
        plain = [n for n in ast.walk(whole) if not isinstance(n, ast.Pass)]
        try:
            again = ast.parse(kept)
        except IndentationError:  # a class or function that is nothing but its docstring
            unread += 1
            continue
        others = [n for n in ast.walk(again) if not isinstance(n, ast.Pass)]
        assert [type(n) for n in plain] == [type(n) for n in others], path
        texts = [[n.value for n in all_ if isinstance(n, ast.Constant)] for all_ in (plain, others)]
        assert texts[0] == texts[1], path
    assert unread < len(files) / 4
