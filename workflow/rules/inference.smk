rule reconstruct:
    """Files of others, by a model of the study."""
    input:
        weights=lambda wildcards: f"{MODEL}/weights.safetensors".format(
            **study.reconstruct[wildcards.name].training(study.seeds)
        ),
        manifest=lambda wildcards: f"{MODEL}/manifest.json".format(
            **study.reconstruct[wildcards.name].training(study.seeds)
        ),
        given=files_to_reconstruct,
        outdated=outdated(results.reconstructions),
    output:
        f"{RESULTS}/{layout.RECONSTRUCTED}/{{name}}/{layout.RECONSTRUCTIONS}",
    log:
        f"{RESULTS}/logs/reconstruct/{{name}}.log",
    wildcard_constraints:
        name=any_of(study.reconstruct),
    conda:
        "../../environment.yaml"
    threads: study.training.threads
    params:
        settings=settings(results.reconstructions),
        model=subpath(input.weights, parent=True),
        words=lambda wildcards: study.reconstruct[wildcards.name].words(study.data_root),
        folder=subpath(output[0], parent=True),
        imports=IMPORTS,
    message:
        "Reconstructing: {wildcards.name}"
    shell:
        "python -m pipeline_src reconstruct {params.words:q} --model {params.model:q} "
        "{params.imports:q} --output {params.folder:q} > {log:q} 2>&1"


rule reconstructions:
    """Whatever `reconstruct` of the configuration lists."""
    input:
        expand(rules.reconstruct.output, name=list(study.reconstruct)),
