"""What the rules share: the study, where its files lie, and what code each step depends on."""

import os
import re
import sys
from pathlib import Path

import yaml

PROJECT = Path(str(workflow.current_basedir)).resolve().parent.parent
sys.path[:0] = [str(PROJECT), os.getcwd()]

from pipeline_src.config import (
    check_study,
    merge,
    read_yaml,
    split_model_name,
)
from pipeline_src.errors import InputError
from pipeline_src.estimate import limits
from pipeline_src.estimate.work import slices_of_store
from pipeline_src.files import write_text
from pipeline_src.preflight import (
    announce_parent,
    check_files,
    gpu_wanted,
    source_files_of,
)
from pipeline_src.provenance import source_files
from pipeline_src.reporting.figures.kinds import KINDS
from pipeline_src.reporting.method_options import method_options
from pipeline_src.reporting.names import TABLES
from pipeline_src.starting.server import start as start_fork_server


def read_models():
    """The models of this run's study: of files given with --configfile alone, or of the demo, with
    --config laid on top."""
    try:
        given, files = dict(config), [str(p) for p in workflow.overwrite_configfiles]
        if not files:
            files = ["config/config.yaml"]
            given = merge(read_yaml(PROJECT / files[0]), given)
        return check_files(check_study(given, " + ".join(files)))
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


announce_parent()
if workflow.remote_exec and workflow.local_exec:
    # The Snakemake that runs a rule within a cluster's job.
    from pipeline_src.cluster.in_job import pass_signals_on

    pass_signals_on()
models = read_models()
study = models.study
RESULTS = f"results/{study.study}"
CONFIG = f"{RESULTS}/config.yaml"


def write_study_config():
    """Freeze the configuration for the jobs: what was planned is what runs, and every shell line
    can be run again by hand."""
    write_text(
        Path(CONFIG), yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)
    )


def quicken():
    """Shorten what every step of a run on this machine costs besides its work."""
    if workflow.non_local_exec or workflow.remote_exec:
        return
    limiter = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        # The default: for its sake Snakemake 9 looks through its queue once more in every second
        # for each job that has ended.
        workflow.scheduler.job_rate_limiter = None
    # Containers and conda environments have their own Python; forks have not been tried with a GPU.
    if not (workflow.deployment_settings.deployment_method or gpus()):
        start_fork_server(sum(1 for _ in workflow.dag.needrun_jobs()))


def code(*places):
    """Source files as inputs, so that a step reruns when its own code changes and not when
    another's does."""
    return [os.path.relpath(path) for path in source_files(*places)]


DATA_CODE = ("data",)
MODEL_CODE = (
    "data/store.py",
    "sampling/masks.py",
    "sampling/data_fidelity.py",
    "models/convolution.py",
    "models/dccnn.py",
    "models/taps.py",
    "models/weights.py",
)
TRAINING_CODE = (
    *MODEL_CODE,
    "models/sft.py",
    "models/slicewise.py",
    "kernels",
    "training",
)
# What all losses share; a loss's own module is added for its trainings alone.
DISTILLATION_CODE = (
    *TRAINING_CODE,
    "distillation/base.py",
    "distillation/attention.py",
)
EVALUATION_CODE = (
    *MODEL_CODE,
    "evaluation/evaluate.py",
    "evaluation/metrics.py",
    "evaluation/results.py",
    "tabular.py",
)
TABLE_CODE = (
    "evaluation/results.py",
    "evaluation/statistics.py",
    "reporting/ablations.py",
    "reporting/cost.py",
    "reporting/differences.py",
    "reporting/formats.py",
    "reporting/labels.py",
    "reporting/missing.py",
    "reporting/names.py",
    "reporting/numbers.py",
    "reporting/paper.py",
    "reporting/study_tables.py",
    "reporting/tables.py",
    "tabular.py",
    "text.py",
)
REPORT_CODE = (
    "reporting/report.py",
    "reporting/methods_text.py",
    "reporting/names.py",
    "reporting/verdicts.py",
    "tabular.py",
)
FIGURE_CODE = (
    "reporting/style.py",
    "reporting/names.py",
    "reporting/figures/__init__.py",
    "reporting/figures/kinds.py",
    "tabular.py",
    "text.py",
)


def distillation_code(wildcards):
    """What all losses share, and the method's own module."""
    name = split_model_name(wildcards.model)[0]
    loss = study.methods[name].source(name)
    return [*code(*DISTILLATION_CODE), os.path.relpath(loss)]


def reported_part(wildcards):
    return study.datasets[wildcards.dataset].report_on


def plan_of(wildcards):
    """Everything in the configuration that defines a training; a change reruns it."""
    return models.plan(wildcards.model, int(wildcards.seed)).model_dump(mode="json")


def start_options(wildcards, input):
    """Options for the weights that a training starts from, where it has any."""
    options = {
        "--teacher": input.get("teacher"),
        "--warm-start": input.get("warm_start"),
    }
    return " ".join(f"{option} {path}" for option, path in options.items() if path)


def weights_of(wildcards, model, name="weights.safetensors"):
    """Weights of another model of the same setting and seed."""
    return f"{MODEL}/{name}".format(**{**wildcards, "model": model})


def teacher_weights(wildcards):
    """Weights of the teacher that a student is distilled from, where it is."""
    teacher = models.teacher(wildcards.model)
    return weights_of(wildcards, teacher) if teacher else []


def warm_start_weights(wildcards):
    """Student blocks of SFT that a student starts from, where it does."""
    source = models.warm_start(wildcards.model)
    return (
        weights_of(wildcards, source, "student_weights.safetensors") if source else []
    )


def names_where(wanted):
    """Trained models that fulfil a condition on their plan, as a wildcard constraint."""
    return any_of(name for name in models.names() if wanted(models.plan(name, 0)))


def any_of(names):
    """A wildcard constraint that allows these names; none, where there are none."""
    return "|".join(re.escape(name) for name in names) or "none"


def gpus(wildcards=None):
    """GPUs of a training; those of a cluster cannot be seen from where it is submitted."""
    return int(gpu_wanted(study, elsewhere=workflow.non_local_exec))


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


def model_folders(dataset, acceleration, names, seeds=study.seeds):
    return [
        f"{RESULTS}/{dataset}/{acceleration}/seed{seed}/{model}"
        for model in names
        for seed in seeds
    ]


def metric_files(dataset, acceleration, name, only=None, seeds=study.seeds):
    """Metrics of zero filling and of the models of a setting."""
    folders = [f"{RESULTS}/{dataset}/{acceleration}/zero_filled"]
    folders += model_folders(dataset, acceleration, only or study.model_names(), seeds)
    return [f"{folder}/{name}" for folder in folders]


def all_metrics():
    """Metrics of everything that stands in a table, each once."""
    files = [
        path
        for dataset, acceleration in study.settings()
        for path in metric_files(dataset, f"{acceleration}x", "volumes.csv")
    ]
    for ablation in study.ablations:
        names = [n for row in models.ablated(ablation).values() for n in row.values()]
        for dataset, acceleration in study.settings(ablation):
            folders = model_folders(dataset, f"{acceleration}x", names)
            files += [f"{folder}/volumes.csv" for folder in folders]
    return list(dict.fromkeys(files))


def shown_models():
    """Models in panels and curves: both teachers, the student, and the shown methods' students."""
    methods = study.evaluation.panel_methods or list(study.methods)[:1]
    return [
        "teacher",
        "sft_teacher",
        "student",
        *[f"{recipe}_{method}" for method in methods for recipe in study.recipes],
    ]


def captions():
    """Captions of the report, which Snakemake's own report shares."""
    return [
        os.path.relpath(p)
        for p in sorted((PROJECT / "workflow" / "report").glob("*.rst"))
    ]


def in_first_setting(path):
    """A file of the first setting and seed, which stands for all where they are alike."""
    dataset, acceleration = next(study.settings())
    return path.format(
        dataset=dataset, acceleration=f"{acceleration}x", seed=study.seeds[0]
    )


def table_caption(name):
    """All ablations share one."""
    return f"../report/{'ablation' if name.startswith('ablation_') else name}_table.rst"


def package_file(name):
    """A file of the package that is no module."""
    return os.path.relpath(PROJECT / "pipeline_src" / name)


MODEL_OF = f"{RESULTS}/{{dataset}}/{{acceleration}}/seed{{seed}}"
MODEL = f"{MODEL_OF}/{{model}}"
OWN_MODELS = study.model_names()
FIGURES = [
    *[
        f"{RESULTS}/figures/{dataset}/{acceleration}x/{kind}.png"
        for kind in KINDS
        if kind not in ("contact_sheet", "dag")
        for dataset, acceleration in study.settings()
    ],
    *[f"{RESULTS}/figures/{dataset}/contact_sheet.png" for dataset in study.datasets],
    f"{RESULTS}/figures/dag.png",
]
TABLE_NAMES = [*TABLES, "cost", *[f"ablation_{name}" for name in study.ablations]]


wildcard_constraints:
    dataset=any_of(study.datasets),
    acceleration=any_of(f"{r}x" for r in study.accelerations),
    seed=r"\d+",
    model=any_of(models.names()),
