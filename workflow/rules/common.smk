"""What the rules share: the study, where its files lie, and what defines each step."""

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import yaml

PROJECT = Path(str(workflow.current_basedir)).resolve().parent.parent
if not (PROJECT / "pipeline_src").is_dir():
    # Read from a repository, by github() or gitfile(): the package is the installed one.
    found = find_spec("pipeline_src")
    PROJECT = Path(found.origin).parent.parent if found else PROJECT
    if not (PROJECT / "config" / "paper.yaml").is_file():
        raise SystemExit(
            "error: the workflow is read from a repository, and its package is not installed from "
            "a checkout of it; type pip install --editable CHECKOUT"
        )
sys.path[:0] = [str(PROJECT), os.getcwd()]

from pipeline_src.config.robustness import shifts_of, tried_models
from pipeline_src.config.setting import acceleration_name
from pipeline_src.errors import InputError
from pipeline_src.operations.closing import (
    listen_to_errors,
    tell_causes,
    tell_report,
)
from pipeline_src.operations.extensions import network_modules
from pipeline_src.files import write_text
from pipeline_src.planning import places as layout
from pipeline_src.planning.reported import Reported
from pipeline_src.planning.results import (
    Results,
    figure_options,
    measured_words,
    shift_options,
)
from pipeline_src.operations.preflight import announce_parent
from pipeline_src.reporting.display_names import table_caption
from pipeline_src.reporting.figures.kinds import KINDS
from pipeline_src.operations.own_python import put_own_python_first
from pipeline_src.operations.snakemake_run import (
    force_outdated,
    is_module,
    keep_trainings,
    models_of_run,
    refuse_missing_data,
    share_gpus_asked_for,
    shorten_overhead,
    settle_place,
    starts_jobs,
)
from pipeline_src.operations.terminal import keep_lists_short
from pipeline_src.running.finished import forget_all

keep_lists_short()
listen_to_errors()
try:
    settle_place(PROJECT)
    # Containers and conda environments have their own Python.
    if not workflow.deployment_settings.deployment_method:
        put_own_python_first()
    models = models_of_run(workflow, config, PROJECT)
except InputError as error:
    raise SystemExit(f"error: {error}") from None
announce_parent()
if workflow.remote_exec and workflow.local_exec:
    # The Snakemake that runs a rule within a cluster's job.
    from pipeline_src.operations.cluster.in_job import pass_signals_on

    pass_signals_on()
study = models.study
places = layout.Places(study)
reported = Reported(models)
RESULTS = f"results/{study.study}"
CONFIG = f"{RESULTS}/{layout.CONFIG}"
# Networks whose weights no command reads before it is told to import their modules.
IMPORTS = [word for module in network_modules(models) for word in ("--import", module)]
PAPER = PROJECT / "config" / "paper_results.csv"
PAPER_CONFIG = PROJECT / "config" / "paper.yaml"


def write_study_config():
    """Freeze the configuration for the jobs: what was planned is what runs, and every shell line
    can be run again by hand."""
    write_text(
        Path(CONFIG), yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)
    )


# A module's own `onstart` is not run.
IN_MODULE = is_module(workflow)  # no longer known when the plan is made
STARTS = IN_MODULE and starts_jobs()
LOST = Path(RESULTS).exists() and not Path(CONFIG).exists()
if workflow.is_main_process and (STARTS or LOST):
    write_study_config()


def in_results(paths):
    return [f"{RESULTS}/{path}" for path in paths]


def from_here(path):
    """A file of the project, as the rules name it."""
    here = os.path.relpath(path)
    return str(path) if here.startswith(os.pardir) else here


def outdated(step):
    """No file, but while the plan is made, has a step run again if the manifest of its result says
    that it was made with other settings, code or given files, whatever Snakemake remembers: when its
    own code has changed, and not when another's has.

    Source files are no inputs: there are so many that most of the plan would be about them.
    """

    def no_files(wildcards):
        try:
            force_outdated(workflow, study, *step(wildcards))
        except InputError as error:
            raise SystemExit(f"error: {error}") from None
        return []

    return no_files


def settings(step):
    """Everything in the configuration that defines a step's result; a change reruns it."""
    return lambda wildcards: step(wildcards)[0].settings


# What defines each step, its manifest and what it writes.
results = Results(models, reported, RESULTS, PAPER, PAPER_CONFIG)


def names_where(wanted):
    """Trained models that fulfil a condition on their plan, as a wildcard constraint."""
    return any_of(name for name in models.names() if wanted(models.plan(name, 0)))


def any_of(names):
    """A wildcard constraint that allows these names; none, where there are none."""
    return "|".join(re.escape(name) for name in names) or "none"


# Snakemake takes captions from the rule file's folder.
CAPTIONS = "../../pipeline_src/reporting/captions"
WILDCARDS = ("{dataset}", "{acceleration}", "{seed}")
STORE = f"{RESULTS}/{places.store('{dataset}', '{seed}')}"
MASK = f"{RESULTS}/{places.mask(*WILDCARDS)}"
ZERO_FILLED = f"{RESULTS}/{places.zero_filled(*WILDCARDS)}"
MODEL = f"{RESULTS}/{places.model(*WILDCARDS, '{model}')}"
ERROR_BOUND = f"{RESULTS}/{places.error_bound(*WILDCARDS, '{model}')}"
SHIFTED = f"{RESULTS}/{places.robustness(*WILDCARDS, '{shift}')}"
MODEL_OF = os.path.dirname(MODEL)
# In logs and messages, where there is one for each seed.
LOG_OF, SAID_OF = (
    {kind: text if places.repeated(kind) else "" for kind in layout.REPEATED}
    for text in ("_seed{seed}", " seed {wildcards.seed}")
)
TRIED_MODELS = tried_models(study)
OWN_MODELS = study.model_names()
METRICS = in_results(reported.metrics())
MEASUREMENTS = {
    name: in_results(paths) for name, paths in reported.measurements.items()
}
FIGURES = in_results(f"{figure.place}.png" for figure in reported.figures())
TABLE_NAMES = reported.tables


wildcard_constraints:
    dataset=any_of(study.datasets),
    acceleration=any_of(map(acceleration_name, study.accelerations)),
    seed=r"\d+",
    model=any_of(models.names()),
