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
from pipeline_src.config.setting import Setting, acceleration_name
from pipeline_src.errors import InputError
from pipeline_src.operations.estimate import limits
from pipeline_src.operations.extensions import network_modules
from pipeline_src.operations.estimate.work import slices_of_store
from pipeline_src.files import write_text
from pipeline_src.modules import PACKAGE
from pipeline_src.planning import places as layout
from pipeline_src.planning.given_files import (
    reconstructed_files,
    source_files_of,
    source_folder,
)
from pipeline_src.planning.plans import reconstruction_stages
from pipeline_src.planning.reported import Reported
from pipeline_src.planning.results import (
    Results,
    figure_options,
    measured_words,
    shift_options,
)
from pipeline_src.operations.preflight import (
    announce_parent,
    gpu_wanted,
    refuse_unplannable,
    voxels_of_largest,
)
from pipeline_src.provenance.crate_content import required_files
from pipeline_src.reporting.figures.kinds import KINDS
from pipeline_src.sampling.given_masks import mask_file
from pipeline_src.operations.snakemake_run import (
    evaluation_processes,
    force_outdated,
    is_module,
    keep_trainings,
    models_of_run,
    runs_elsewhere,
    share_gpus_asked_for,
    shorten_overhead,
    settle_place,
    starts_jobs,
    tell_causes,
    tell_report,
)
from pipeline_src.running.finished import forget_all

try:
    settle_place(PROJECT)
    models = models_of_run(workflow, config, PROJECT)
except InputError as error:
    raise SystemExit(f"error: {error}") from None
announce_parent()
if workflow.remote_exec and workflow.local_exec:
    # The Snakemake that runs a rule within a cluster's job.
    from pipeline_src.operations.cluster.in_job import pass_signals_on

    pass_signals_on()
ELSEWHERE = runs_elsewhere(workflow)
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
prepare_of, mask_of, train_of = results.store, results.mask, results.training
evaluate_of = results.metrics
evaluate_variant_of = results.metrics_of_variant
evaluate_zero_filled_of = results.metrics_of_zero_filling
robustness_of = results.robustness
cost_of, runtimes_of = results.cost, results.runtimes
error_bound_of = results.error_bound
tables_of, report_of = results.tables, results.report
figure_of, reconstruct_of = results.figure, results.reconstructions


def repeat_options(wildcards):
    """The repeat whose store or mask is made, where it is one of several."""
    seed = wildcards.get("seed")
    return [] if seed is None else [f"--seed={seed}"]


def start_options(wildcards, input):
    """Options for the weights that a training starts from, where it has any."""
    options = {
        "--teacher": input.get("teacher"),
        "--warm-start": input.get("warm_start"),
    }
    return [word for option, path in options.items() if path for word in (option, path)]


def volumes_of(wildcards):
    """Files of a data set; as for source files, the manifest tells whether they have changed.

    As a module, their folder, which a rule of the outer workflow may make.
    """
    folder = source_folder(study, wildcards.dataset)
    if IN_MODULE and folder:
        return [ancient(from_here(folder))]
    files = source_files_of(study, wildcards.dataset)
    try:
        refuse_unplannable(files)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    return [ancient(path) for path in files]


def files_to_reconstruct(wildcards):
    """Those of an entry of `reconstruct` that are there; the manifest tells whether they changed."""
    output = f"{RESULTS}/{layout.RECONSTRUCTED}/{wildcards.name}"
    files = [
        path
        for path in reconstructed_files(study, wildcards.name, output)
        if os.path.exists(path)
    ]
    try:
        refuse_unplannable(files)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    return [ancient(path) for path in files]


def given_mask(wildcards):
    """The mask file that a setting is given, where it is."""
    setting = Setting(wildcards.dataset, wildcards.acceleration)
    given = study.datasets[setting.dataset].masks.get(setting.factor)
    return [ancient(from_here(mask_file(given)))] if given else []


def weights_of(wildcards, model, name=layout.WEIGHTS):
    """Weights of another model of the same setting and seed."""
    return f"{MODEL}/{name}".format(**{**wildcards, "model": model})


def teacher_weights(wildcards):
    """Weights of the teacher that a student is distilled from, where it is."""
    teacher = models.teacher(wildcards.model)
    return weights_of(wildcards, teacher) if teacher else []


def warm_start_weights(wildcards):
    """Student blocks of SFT, or the trained student, that a student starts from, where it does."""
    source = models.warm_start(wildcards.model)
    if not source:
        return []
    return weights_of(wildcards, source, models.warm_start_file(wildcards.model))


def names_where(wanted):
    """Trained models that fulfil a condition on their plan, as a wildcard constraint."""
    return any_of(name for name in models.names() if wanted(models.plan(name, 0)))


def histories_of(count):
    """Histories of a training of so many stages on reconstruction."""
    return [
        f"{MODEL}/{layout.history(stage)}" for stage in reconstruction_stages(count)
    ]


def any_of(names):
    """A wildcard constraint that allows these names; none, where there are none."""
    return "|".join(re.escape(name) for name in names) or "none"


def gpus(wildcards=None):
    """GPUs of a training; those of a cluster cannot be seen from where it is submitted."""
    return int(gpu_wanted(study, elsewhere=ELSEWHERE))


def measuring_threads():
    """All cores, so that what is timed runs alone; on a cluster a job's cores are its own."""
    on_cluster = ELSEWHERE or workflow.remote_exec
    return study.training.threads if on_cluster else workflow.cores


def slices_of(input):
    """Known once the data is prepared, and with it all that follows."""
    [store] = input.data
    return slices_of_store(Path(store))


def training_memory(wildcards, input, attempt):
    plan = models.plan(wildcards.model, int(wildcards.seed))
    return limits.training_memory(plan, slices_of(input), bool(gpus()), attempt)


def training_minutes(wildcards, input, attempt):
    plan = models.plan(wildcards.model, int(wildcards.seed))
    return limits.training_minutes(plan, slices_of(input), bool(gpus()), attempt)


def evaluation_memory(wildcards, input, attempt):
    return limits.evaluation_memory(slices_of(input), attempt)


def evaluation_minutes(wildcards, input, attempt):
    names = [os.path.basename(os.path.dirname(p)) for p in input.get("weights", [])]
    plans = [models.plan(name, study.seeds[0]) for name in names]
    return limits.evaluation_minutes(
        plans, slices_of(input), study.training.threads, attempt
    )


def captions():
    """Captions of the report, which Snakemake's own report shares."""
    return [
        from_here(path)
        for path in sorted((PACKAGE / "reporting" / "captions").glob("*.rst"))
    ]


def all_made():
    """All that a finished study holds: what it calls done can be packed and traced."""
    folders = [os.path.dirname(path) for path in METRICS]
    trained = [f for f in folders if os.path.basename(f) != "zero_filled"]
    sft = names_where(lambda plan: plan.stages == ["student_friendly"])
    return [
        *in_results(n for n in required_files(study) if n != layout.CONFIG),
        *[f"{folder}/{layout.PANEL}" for folder in folders],
        *[
            f"{folder}/{layout.STUDENT_WEIGHTS}"
            for folder in trained
            if re.fullmatch(sft, os.path.basename(folder))
        ],
        *[f"{os.path.splitext(figure)[0]}.pdf" for figure in FIGURES],
        *FIGURES,
    ]


def in_first_setting(path):
    """A file of the first setting and seed, which stands for all where they are alike."""
    return path.format(**next(study.settings())._asdict(), seed=study.seeds[0])


def table_caption(name):
    """All ablations share one."""
    return (
        f"{CAPTIONS}/{'ablation' if name.startswith('ablation_') else name}_table.rst"
    )


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
PROCESSES = (
    evaluation_processes(workflow, study.training.threads, len(OWN_MODELS))
    if gpus()
    else 1
)
# No option for one, so that what is there is not measured again.
AT_ONCE = f"--processes {PROCESSES} " if PROCESSES > 1 else ""
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
