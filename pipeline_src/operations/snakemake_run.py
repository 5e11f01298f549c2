"""Supports a run of Snakemake: reads its configuration as every command does, has outdated results
made again, and reduces the overhead of small steps.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline_src.acceleration.fork_server import start as start_fork_server
from pipeline_src.config.load import CONFIGFILE, check_study, parse_value, read_files, read_yaml
from pipeline_src.config.section import merge
from pipeline_src.config.study import Study
from pipeline_src.errors import InputError, errors_of
from pipeline_src.operations.extensions import check_extensions, has_extensions
from pipeline_src.operations.preflight import check_files, gpu_wanted, refuse_missing_folders
from pipeline_src.planning.outdated import is_unfinished, why_outdated
from pipeline_src.planning.places import CONFIG, WEIGHTS
from pipeline_src.planning.steps import Step
from pipeline_src.planning.study_models import Models
from pipeline_src.running.finished import set_aside
from pipeline_src.running.gpus import share_gpus


def settle_place(project: Path) -> None:
    """Make the package importable for the steps wherever Snakemake runs (`--directory`).

    Raises:
        InputError: it runs inside the project's own `workflow` folder, or in a folder that cannot
            be written to.
    """
    here = Path.cwd()
    if here.is_relative_to(project / "workflow"):
        raise InputError(
            f"{here}: results would go to this folder; run snakemake in {project}, or name another "
            "folder with --directory"
        )
    records = here / ".snakemake"
    if not os.access(records if records.exists() else here, os.W_OK) and not _only_looks():
        raise InputError(
            f"{here}: cannot be written, and results would go to this folder; name one of your own "
            "with --directory"
        )
    if here != project:
        given = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(project), *([given] if given else [])])


def _only_looks() -> bool:
    """Whether Snakemake was asked for something that does not need its records."""
    return any(word.startswith(("--lint", "--list", "-l")) for word in sys.argv[1:])


def models_of_run(workflow: Any, config: Mapping[str, Any], project: Path) -> Models:
    """The models of this run's study: from the files given with --configfile, or else from the
    demo, with --config on top; as a module of another workflow, from the `config` it is given.

    The files are read again here, since Snakemake lets the second of two equal keys win; within a
    cluster's job, the configuration that was frozen at the start is read.

    Raises:
        InputError: anything in it is wrong.
    """
    frozen = Path("results") / str(config.get("study")) / CONFIG
    if workflow.remote_exec and frozen.exists():
        return Models(check_study(read_yaml(frozen), str(frozen)))
    if is_module(workflow):
        origin = "config of the module"
        return _settled(check_study(_config_of_module(workflow, config), origin), origin, workflow)
    files = [Path(p) for p in workflow.overwrite_configfiles] or [project / "config/config.yaml"]
    if sum(word.partition("=")[0] in CONFIGFILE for word in sys.argv[1:]) > 1:
        raise InputError(
            "--configfile: is given twice, and Snakemake reads the last alone; name all files "
            "after one --configfile"
        )
    given, origin = read_files(files)
    overrides = _overrides(workflow.config_settings.config)
    study = check_study(given, origin, "--config", overrides)
    return _settled(study, origin + " with --config" * bool(overrides), workflow)


def is_module(workflow: Any) -> bool:
    """Whether the rules are read as a module of another workflow."""
    return not workflow.modifier.is_main_snakefile()


def _config_of_module(workflow: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    if not workflow.modifier.skip_configfile:
        raise InputError(
            'module: is given no configuration; write config: config["NAME"] into the module '
            "statement, with a study's keys below NAME"
        )
    paths = workflow.modifier.path_modifier
    if paths.prefix or paths._prefix_replacements:
        raise InputError(
            "module: takes no prefix or replace_prefix, since its commands name their files too; "
            "all of a study lies in results/STUDY, so give it another name with the key study"
        )
    return dict(config)


def _settled(study: Study, origin: str, workflow: Any) -> Models:
    """The models of a study, once its files and extensions are looked at, and what convolves."""
    with errors_of(origin):
        models = check_files(study)
        if workflow.is_main_process and has_extensions(models):
            # Errors must be found now, not by the last training after others have run for hours.
            list(check_extensions(models, run_modules=True))
    chosen = _convolutions(models, workflow)
    if chosen == study.training.convolutions:
        return models
    training = study.training.model_copy(update={"convolutions": chosen})
    return Models(study.model_copy(update={"training": training}))


def _convolutions(models: Models, workflow: Any) -> str:
    """Which convolutions all trainings of a study use on the CPU: decided when it is first started,
    and kept in the frozen configuration among its results.

    If each training decided, a node without a compiler would use others than the rest.
    """
    study = models.study
    wanted = study.training.convolutions
    if wanted != "auto" or gpu_wanted(study, elsewhere=runs_elsewhere(workflow)):
        return wanted
    frozen = Path("results") / study.study / CONFIG
    if frozen.exists():
        training = read_yaml(frozen).get("training")
        before = training.get("convolutions") if isinstance(training, dict) else None
        if before in ("compiled", "library"):
            return str(before)
    # Imported late: it takes as long as the rest of the plan, once for each study.
    from pipeline_src.acceleration.choice import why_none_compiled, why_not_bf16

    reason = why_none_compiled(models)
    if reason:
        _tell_once(f"convolutions of this study: torch's; {reason}")
    if slower := why_not_bf16(models):
        _tell_once(f"warning: {slower}")
    return "library" if reason else "compiled"


def _overrides(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """The values of --config. Snakemake keeps nested ones as text, whether they were numbers or
    text, so the command line is parsed again.
    """
    from snakemake.cli import parse_config

    typed = getattr(_typed(), "config", None) or []
    try:
        same = parse_config(typed) == dict(parsed)
    except Exception:  # as by another program's options
        same = False
    if not same:
        return dict(parsed)
    found: dict[str, Any] = {}
    for word in typed:
        key, _, value = word.partition("=")
        given = {key: parse_value(value, f"--config {word}")}
        found = merge(found, given, default_kinds={})
    return found


def runs_elsewhere(workflow: Any) -> bool:
    """Whether Snakemake submits its jobs to other machines. It sets its executor only when the
    rules have been read, and in a dry run takes another; what was asked for is known before.
    """
    if workflow.remote_exec:
        return False
    asked = getattr(_typed(), "executor", None)
    return workflow.non_local_exec or asked not in (None, "local", "dryrun", "touch")


def starts_jobs() -> bool:
    """Whether Snakemake was asked to do more than to look, as a dry run does."""
    return not (_only_looks() or getattr(_typed(), "dryrun", False))


def _typed() -> Any:
    """The options that were typed; None where another program than Snakemake was started."""
    from snakemake.cli import parse_args

    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return parse_args(sys.argv[1:])[1]
    except (Exception, SystemExit):
        return None


def force_outdated(workflow: Any, study: Study, step: Step, manifest: str, output: str) -> None:
    """Have a result made again that was made with another configuration or other code.

    Snakemake's own records are in `.snakemake`, which a copy of the results, a renamed folder or
    another checkout does not have. This is called while the plan is made, so that results that
    nobody asks for are not touched.

    Raises:
        InputError: the study says `outdated: refuse`.
    """
    if workflow.remote_exec or not Path(output).exists():
        return
    reason = why_outdated(step, Path(manifest))
    if reason and study.outdated == "refuse" and not is_unfinished(step, Path(manifest)):
        raise InputError(
            f"{output}: {reason}; move it away, or set outdated: remake to make it again"
        )
    if reason:
        _tell_once(f"{output}: {reason}; it is made again")
        workflow.dag.forcefiles.add(output)


def refuse_missing_data(workflow: Any, study: Study) -> None:
    """Refuse to start where a data set is to be prepared here and its folder does not exist: the
    preparation would say so, but after steps that need no data.

    Raises:
        InputError: one line about the first.
    """
    # With --keep-going, the other data sets are worth a run; nodes may see other folders.
    if workflow.execution_settings.keep_going or runs_elsewhere(workflow):
        return
    jobs = workflow.dag.needrun_jobs()
    prepared = {job.wildcards.dataset for job in jobs if job.rule.name == "prepare"}
    refuse_missing_folders(study, sorted(prepared))


def keep_trainings(workflow: Any) -> None:
    """Set aside finished trainings that run again although their manifest names nothing that
    changed: because their inputs are made again, say, or an earlier version listed others.

    Snakemake cannot know whether those will be the same, as after an edit that changes no number.
    If they are, the training's digest is the same, and it puts its result back.
    """
    dag = workflow.dag
    for job in dag.needrun_jobs():
        reason, first = dag.reason(job), str(next(iter(job.output), ""))
        if not reason.forced and first.endswith(f"/{WEIGHTS}"):
            # If it cannot be kept, it is trained again.
            with contextlib.suppress(OSError):
                set_aside(Path(first).parent)


@cache
def _tell_once(line: str) -> None:
    print(line, file=sys.stderr)


def share_gpus_asked_for(workflow: Any) -> None:
    """Let trainings share GPUs if this run was asked for more at once than this machine has."""
    if runs_elsewhere(workflow) or workflow.remote_exec:
        return
    asked = workflow.resource_settings.resources.get("gpu")
    # A number, or since Snakemake 9.27 an object that holds it.
    asked = getattr(asked, "value", asked)
    if isinstance(asked, int) and (line := share_gpus(asked)):
        _tell_once(line)


def shorten_overhead(workflow: Any, on_gpu: bool) -> None:
    """Reduce what every step of a run on this machine costs besides its work.

    Args:
        workflow: Snakemake's workflow object.
        on_gpu: whether trainings use a GPU; they are then forks whatever their number of threads.
    """
    if runs_elsewhere(workflow) or workflow.remote_exec:
        return
    limiter = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        # With the default limiter, Snakemake 9 searches its queue an extra time per second for each
        # job that has ended.
        workflow.scheduler.job_rate_limiter = None
    # Containers and conda environments have their own Python.
    if not workflow.deployment_settings.deployment_method:
        start_fork_server(sum(1 for _ in workflow.dag.needrun_jobs()), on_gpu=on_gpu)


def evaluation_processes(workflow: Any, threads: int, models: int) -> int:
    """How many models are measured at once if trainings use GPUs: as many as there are cores that
    this machine's trainings leave idle.

    Args:
        workflow: Snakemake's workflow object.
        threads: of each training.
        models: how many models there are.
    """
    if runs_elsewhere(workflow) or workflow.remote_exec:
        return 1
    idle = (workflow.cores or 1) // threads - 2
    return int(max(1, min(idle, models)))
