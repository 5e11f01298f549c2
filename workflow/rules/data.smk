rule prepare:
    input:
        volumes=lambda wildcards: source_files_of(study, wildcards.dataset),
        code=code(*DATA_CODE),
    output:
        f"{RESULTS}/{{dataset}}/volumes.h5",
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}.log",
    conda:
        "../../environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: limits.preparation_memory(
            input.size_mb, attempt
        ),
        runtime=lambda wildcards, input, attempt: limits.preparation_minutes(
            input.size_mb, attempt
        ),
    params:
        config=CONFIG,
        settings=lambda wildcards: study.datasets[wildcards.dataset].model_dump(
            mode="json", include={"source", "preparation", "split"}
        ),
    message:
        "Preparing {wildcards.dataset}"
    shell:
        "python -m pipeline_src prepare --config {params.config} "
        "--dataset {wildcards.dataset} --output {output} > {log} 2>&1"
