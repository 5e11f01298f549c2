rule evaluate:
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        weights=rules.train.output.weights,
        manifest=rules.train.output.manifest,
        code=code(*EVALUATION_CODE),
    output:
        slices=f"{MODEL}/slices.csv",
        volumes=f"{MODEL}/volumes.csv",
        panel=f"{MODEL}/panel.npz",
    log:
        f"{RESULTS}/logs/evaluate/{{dataset}}_{{acceleration}}_seed{{seed}}_{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{dataset}}_{{acceleration}}_seed{{seed}}_{{model}}.tsv"
    conda:
        "../../environment.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        part=reported_part,
        folder=subpath(output.volumes, parent=True),
        identity=lambda wildcards: f"--model {wildcards.model} --seed {wildcards.seed}",
        weights=lambda wildcards, input: f"--weights {input.weights}",
    message:
        "Evaluating {wildcards.model}: {wildcards.dataset} {wildcards.acceleration} seed {wildcards.seed}"
    shell:
        "python -m pipeline_src evaluate --dataset {wildcards.dataset} "
        "--acceleration {wildcards.acceleration} {params.identity} --part {params.part} "
        "--data {input.data} --mask {input.mask} {params.weights} "
        "--output {params.folder} > {log} 2>&1"


use rule evaluate as evaluate_zero_filled with:
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        code=code(*EVALUATION_CODE),
    output:
        slices=f"{RESULTS}/{{dataset}}/{{acceleration}}/zero_filled/slices.csv",
        volumes=f"{RESULTS}/{{dataset}}/{{acceleration}}/zero_filled/volumes.csv",
        panel=f"{RESULTS}/{{dataset}}/{{acceleration}}/zero_filled/panel.npz",
    log:
        f"{RESULTS}/logs/evaluate/{{dataset}}_{{acceleration}}_zero_filled.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{dataset}}_{{acceleration}}_zero_filled.tsv"
    params:
        part=reported_part,
        folder=subpath(output.volumes, parent=True),
        identity="--model zero_filled",
        weights="",
    message:
        "Evaluating zero filling: {wildcards.dataset} {wildcards.acceleration}"
