use rule train as distil with:
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        teacher=teacher_weights,
        warm_start=warm_start_weights,
        code=distillation_code,
    output:
        weights=f"{MODEL}/weights.safetensors",
        manifest=f"{MODEL}/manifest.json",
        histories=[
            f"{MODEL}/history_{stage}.csv"
            for stage in distillation_stages(study.distillation)
        ],
    wildcard_constraints:
        model="|".join(study.distilled_names()) or "none",
