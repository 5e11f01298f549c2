rule prepare:
    input:
        volumes=volumes_of,
        outdated=outdated(results.store),
    output:
        STORE,
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}{LOG_OF['store']}.log",
    conda:
        "../../environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: work.preparation_memory(
            voxels_of_largest(study, wildcards.dataset), attempt
        ),
        runtime=lambda wildcards, input, attempt: work.preparation_minutes(
            input.size_mb, attempt
        ),
    params:
        config=CONFIG,
        settings=settings(results.store),
        repeat=repeat_options,
    message:
        f"Preparing {{wildcards.dataset}}{SAID_OF['store']}"
    shell:
        "python -m pipeline_src prepare --config {params.config:q} "
        "--dataset {wildcards.dataset:q} {params.repeat:q} --output {output:q} > {log:q} 2>&1"
