rule mask:
    input:
        given=given_mask,
        code=code(mask_of),
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
        settings=settings(mask_of),
    message:
        "Mask of {wildcards.dataset} at {wildcards.acceleration}"
    shell:
        "python -m pipeline_src mask --config {params.config:q} --dataset {wildcards.dataset:q} "
        "--acceleration {wildcards.acceleration:q} --output {output:q} > {log:q} 2>&1"
