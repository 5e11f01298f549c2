rule evaluate:
    """All models of a setting and seed: measuring one takes less than starting a job."""
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        weights=[f"{MODEL_OF}/{model}/weights.safetensors" for model in OWN_MODELS],
        manifests=[f"{MODEL_OF}/{model}/manifest.json" for model in OWN_MODELS],
        outdated=outdated(results.metrics),
    output:
        volumes=[f"{MODEL_OF}/{model}/volumes.csv" for model in OWN_MODELS],
        slices=[f"{MODEL_OF}/{model}/slices.csv" for model in OWN_MODELS],
        panels=[f"{MODEL_OF}/{model}/panel.npz" for model in OWN_MODELS],
    log:
        f"{RESULTS}/logs/evaluate/{{dataset}}_{{acceleration}}_seed{{seed}}.log",
    conda:
        "../../environment.yaml"
    threads: PROCESSES * study.training.threads
    resources:
        mem_mb=evaluation_memory,
        runtime=evaluation_minutes,
    params:
        part=lambda wildcards: study.datasets[wildcards.dataset].report_on,
        subjects=lambda wildcards, input: [os.path.dirname(p) for p in input.weights],
        imports=IMPORTS,
    message:
        "Evaluating: {wildcards.dataset} {wildcards.acceleration} seed {wildcards.seed}"
    shell:
        "python -m pipeline_src evaluate {params.subjects:q} --dataset {wildcards.dataset:q} "
        "--acceleration {wildcards.acceleration:q} --part {params.part:q} "
        f"{AT_ONCE}--data {{input.data:q}} --mask {{input.mask:q}} {{params.imports:q}} "
        "> {log:q} 2>&1"


rule robustness:
    """All tried models of a setting and seed, and zero filling, under one shift."""
    input:
        data=lambda wildcards: [f"{RESULTS}/{results.store_of_shift(wildcards)}"],
        mask=rules.mask.output,
        weights=[f"{MODEL_OF}/{model}/weights.safetensors" for model in TRIED_MODELS],
        manifests=[f"{MODEL_OF}/{model}/manifest.json" for model in TRIED_MODELS],
        outdated=outdated(results.robustness),
    output:
        SHIFTED,
    log:
        f"{RESULTS}/logs/robustness/{{dataset}}_{{acceleration}}_seed{{seed}}_{{shift}}.log",
    wildcard_constraints:
        shift=any_of(
            {shift.name for s in study.settings() for shift in shifts_of(study, s)}
        ),
    conda:
        "../../environment.yaml"
    threads: study.training.threads
    resources:
        mem_mb=evaluation_memory,
        runtime=evaluation_minutes,
    params:
        settings=settings(results.robustness),
        subjects=lambda wildcards, input: [os.path.dirname(p) for p in input.weights],
        words=shift_options(results.robustness),
        imports=IMPORTS,
    message:
        "Robustness to {wildcards.shift}: {wildcards.dataset} {wildcards.acceleration} seed {wildcards.seed}"
    shell:
        "python -m pipeline_src robustness {params.subjects:q} --shift {wildcards.shift:q} "
        "--dataset {wildcards.dataset:q} --acceleration {wildcards.acceleration:q} "
        "{params.words:q} --data {input.data:q} --mask {input.mask:q} {params.imports:q} "
        "--output {output:q} > {log:q} 2>&1"


rule error_bound:
    """How far off each pixel of a model's reconstructions may be."""
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        weights=[f"{MODEL}/weights.safetensors"],
        manifest=f"{MODEL}/manifest.json",
        outdated=outdated(results.error_bound),
    output:
        ERROR_BOUND,
    log:
        f"{RESULTS}/logs/error_bounds/{{dataset}}_{{acceleration}}_seed{{seed}}_{{model}}.log",
    conda:
        "../../environment.yaml"
    threads: study.training.threads
    resources:
        mem_mb=evaluation_memory,
        runtime=evaluation_minutes,
    params:
        settings=settings(results.error_bound),
        model=lambda wildcards, input: os.path.dirname(input.weights[0]),
        words=lambda wildcards: [
            f"--{key}={value}"
            for key, value in settings(results.error_bound)(wildcards).items()
        ],
        imports=IMPORTS,
    message:
        "Bound of errors of {wildcards.model}: {wildcards.dataset} {wildcards.acceleration} seed {wildcards.seed}"
    shell:
        "python -m pipeline_src calibrate {params.model:q} --data {input.data:q} "
        "--trained-mask {input.mask:q} {params.words:q} {params.imports:q} --output {output:q} "
        "> {log:q} 2>&1"


use rule evaluate as evaluate_variant with:
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        # A list as above, so that it is one for `subjects` too.
        weights=[f"{MODEL}/weights.safetensors"],
        manifests=[f"{MODEL}/manifest.json"],
        outdated=outdated(results.metrics_of_variant),
    output:
        volumes=f"{MODEL}/volumes.csv",
        slices=f"{MODEL}/slices.csv",
        panels=f"{MODEL}/panel.npz",
    log:
        f"{RESULTS}/logs/evaluate/{{dataset}}_{{acceleration}}_seed{{seed}}_{{model}}.log",
    wildcard_constraints:
        model=any_of(name for name in models.names() if name not in OWN_MODELS),
    threads: study.training.threads
    message:
        "Evaluating {wildcards.model}: {wildcards.dataset} {wildcards.acceleration} seed {wildcards.seed}"


use rule evaluate as evaluate_zero_filled with:
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        outdated=outdated(results.metrics_of_zero_filling),
    output:
        volumes=f"{ZERO_FILLED}/volumes.csv",
        slices=f"{ZERO_FILLED}/slices.csv",
        panels=f"{ZERO_FILLED}/panel.npz",
    log:
        f"{RESULTS}/logs/evaluate/{{dataset}}_{{acceleration}}{LOG_OF['zero_filled']}_zero_filled.log",
    threads: study.training.threads
    params:
        part=lambda wildcards: study.datasets[wildcards.dataset].report_on,
        subjects=lambda wildcards, output: [
            "--zero-filled",
            os.path.dirname(output.volumes),
        ],
        imports=[],
    message:
        f"Evaluating zero filling: {{wildcards.dataset}} {{wildcards.acceleration}}{SAID_OF['zero_filled']}"
