rule train:
    """Teacher or student by standard training; the other trainings are variations of it."""
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        teacher=teacher_weights,
        warm_start=warm_start_weights,
        outdated=outdated(results.training),
    output:
        **trained("reconstruction"),
    log:
        f"{RESULTS}/logs/train/{{dataset}}_{{acceleration}}_seed{{seed}}_{{model}}.log",
    wildcard_constraints:
        model=names_where(lambda plan: plan.stages == ["reconstruction"]),
    # The standard teacher gates half the grid.
    priority: 5
    conda:
        "../../environment.yaml"
    threads: study.training.threads
    resources:
        gpu=gpus,
        mem_mb=training_memory,
        runtime=training_minutes,
    params:
        config=CONFIG,
        settings=settings(results.training),
        folder=subpath(output.weights, parent=True),
        start=start_options,
    message:
        "Training {wildcards.model}: {wildcards.dataset} {wildcards.acceleration} seed {wildcards.seed}"
    shell:
        "python -m pipeline_src train --config {params.config:q} --dataset {wildcards.dataset:q} "
        "--acceleration {wildcards.acceleration:q} --model {wildcards.model:q} "
        "--seed {wildcards.seed:q} --data {input.data:q} --mask {input.mask:q} {params.start:q} "
        "--output {params.folder:q} > {log:q} 2>&1"


use rule train as train_sft_teacher with:
    output:
        **trained("student_friendly", student=f"{MODEL}/{layout.STUDENT_WEIGHTS}"),
    wildcard_constraints:
        model=names_where(lambda plan: plan.stages == ["student_friendly"]),
    # The longest training, which half the grid waits for: first in line.
    priority: 10


use rule train as train_control with:
    output:
        **trained(*reconstruction_stages(2)),
    wildcard_constraints:
        model=names_where(lambda plan: plan.stages == reconstruction_stages(2)),
    priority: 0


use rule train_control as train_as_long with:
    output:
        **trained(*reconstruction_stages(3)),
    wildcard_constraints:
        model=names_where(lambda plan: plan.stages == reconstruction_stages(3)),


use rule train_control as train_as_long_with_start with:
    output:
        **trained(*reconstruction_stages(4)),
    wildcard_constraints:
        model=names_where(lambda plan: plan.stages == reconstruction_stages(4)),
