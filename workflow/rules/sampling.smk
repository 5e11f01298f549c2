rule mask:
    input:
        given=given_mask,
        outdated=outdated(results.mask),
    output:
        MASK,
    log:
        f"{RESULTS}/logs/mask/{{dataset}}_{{acceleration}}{LOG_OF['mask']}.log",
    localrule: True
    conda:
        "../../environment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        config=CONFIG,
        settings=settings(results.mask),
        repeat=repeat_options,
    message:
        f"Mask of {{wildcards.dataset}} at {{wildcards.acceleration}}{SAID_OF['mask']}"
    shell:
        "python -m pipeline_src mask --config {params.config:q} --dataset {wildcards.dataset:q} "
        "--acceleration {wildcards.acceleration:q} {params.repeat:q} --output {output:q} > {log:q} 2>&1"
