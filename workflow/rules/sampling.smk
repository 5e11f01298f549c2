rule mask:
    input:
        given=lambda wildcards: study.datasets[wildcards.dataset].masks.get(
            int(wildcards.acceleration[:-1]), []
        ),
        code=code("sampling/masks.py"),
    output:
        f"{RESULTS}/{{dataset}}/{{acceleration}}/mask.npz",
    log:
        f"{RESULTS}/logs/mask/{{dataset}}_{{acceleration}}.log",
    localrule: True
    conda:
        "../../environment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        config=CONFIG,
        matrix=lambda wildcards: study.datasets[wildcards.dataset].preparation.matrix,
        settings=study.sampling.model_dump(mode="json"),
    message:
        "Mask of {wildcards.dataset} at {wildcards.acceleration}"
    shell:
        "python -m pipeline_src mask --config {params.config} --dataset {wildcards.dataset} "
        "--acceleration {wildcards.acceleration} --output {output} > {log} 2>&1"
