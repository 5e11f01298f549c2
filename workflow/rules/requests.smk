"""What jobs ask for: threads, memory, time and GPUs."""

from pipeline_src.operations.estimate import work
from pipeline_src.operations.preflight import gpu_wanted, voxels_of_largest
from pipeline_src.operations.snakemake_run import evaluation_processes, runs_elsewhere

ELSEWHERE = runs_elsewhere(workflow)


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
    return work.slices_of_store(Path(store))


def training_memory(wildcards, input, attempt):
    plan = models.plan(wildcards.model, int(wildcards.seed))
    return work.training_memory(plan, slices_of(input), bool(gpus()), attempt)


def training_minutes(wildcards, input, attempt):
    plan = models.plan(wildcards.model, int(wildcards.seed))
    return work.training_minutes(plan, slices_of(input), bool(gpus()), attempt)


def evaluation_memory(wildcards, input, attempt):
    return work.evaluation_memory(slices_of(input), attempt)


def evaluation_minutes(wildcards, input, attempt):
    names = [os.path.basename(os.path.dirname(p)) for p in input.get("weights", [])]
    plans = [models.plan(name, study.seeds[0]) for name in names]
    return work.evaluation_minutes(
        plans, slices_of(input), study.training.threads, attempt
    )


PROCESSES = (
    evaluation_processes(workflow, study.training.threads, len(OWN_MODELS))
    if gpus()
    else 1
)
# No option for one, so that what is there is not measured again.
AT_ONCE = f"--processes {PROCESSES} " if PROCESSES > 1 else ""
