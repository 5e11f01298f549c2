use rule train as distil with:
    input:
        data=rules.prepare.output,
        mask=rules.mask.output,
        teacher=teacher_weights,
        warm_start=warm_start_weights,
        outdated=outdated(results.training),
    output:
        **trained("features", "reconstruction"),
    wildcard_constraints:
        model=names_where(lambda plan: plan.stages == ["features", "reconstruction"]),
    priority: 0


use rule distil as distil_joint with:
    output:
        **trained("joint"),
    wildcard_constraints:
        model=names_where(lambda plan: plan.stages == ["joint"]),
