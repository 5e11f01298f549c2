# Tables and figures run where Snakemake does: each takes less than being submitted would.


rule cost:
    """What teacher and student cost, measured while nothing else runs."""
    input:
        data=in_first_setting(rules.prepare.output[0]),
        mask=in_first_setting(rules.mask.output[0]),
        teacher=in_first_setting(f"{MODEL_OF}/teacher/weights.safetensors"),
        student=in_first_setting(f"{MODEL_OF}/student/weights.safetensors"),
        outdated=outdated(results.cost),
    output:
        f"{RESULTS}/cost.csv",
    log:
        f"{RESULTS}/logs/cost.log",
    conda:
        "../../environment.yaml"
    threads: measuring_threads()
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        imports=IMPORTS,
    message:
        "Cost of teacher and student"
    shell:
        "python -m pipeline_src cost --teacher {input.teacher:q} --student {input.student:q} "
        "--data {input.data:q} --mask {input.mask:q} --threads {threads} {params.imports:q} "
        "--output {output:q} > {log:q} 2>&1"


if study.evaluation.runtimes:

    rule runtimes:
        """Takes all cores, as the rule above, and for the same reason."""
        input:
            data=in_first_setting(rules.prepare.output[0]),
            mask=in_first_setting(rules.mask.output[0]),
            models=[
                in_first_setting(f"{MODEL_OF}/{role}/weights.safetensors")
                for role in ("teacher", "student")
            ],
            outdated=outdated(results.runtimes),
        output:
            f"{RESULTS}/runtimes.csv",
        log:
            f"{RESULTS}/logs/runtimes.log",
        conda:
            "../../environment.yaml"
        threads: measuring_threads()
        resources:
            mem_mb=4000,
            runtime=60,
        params:
            settings=settings(results.runtimes),
            models=lambda wildcards, input: [
                os.path.dirname(path) for path in input.models
            ],
            part=lambda wildcards: settings(results.runtimes)(wildcards)["part"],
            runtimes=study.evaluation.runtimes,
            imports=IMPORTS,
        message:
            "Teacher and student in other runtimes"
        shell:
            "python -m pipeline_src runtimes {params.models:q} --data {input.data:q} "
            "--trained-mask {input.mask:q} --part {params.part:q} --runtimes {params.runtimes:q} "
            "{params.imports:q} "
            "--threads {threads} --output {output:q} > {log:q} 2>&1"


rule study_tables:
    """All tables at once: they read the same metrics, and each takes less than starting a job."""
    input:
        metrics=METRICS,
        paper=ancient(from_here(PAPER)),
        measured=[path for paths in MEASUREMENTS.values() for path in paths],
        outdated=outdated(results.tables),
    output:
        tables=[
            f"{RESULTS}/tables/{name}.{suffix}"
            for name in TABLE_NAMES
            for suffix in ("csv", "md", "tex")
        ],
        pages=[
            report(
                f"{RESULTS}/tables/{name}.html",
                caption=f"{CAPTIONS}/{table_caption(name)}.rst",
                category="Tables",
            )
            for name in TABLE_NAMES
        ],
        numbers=f"{RESULTS}/tables/all_numbers.csv",
    log:
        f"{RESULTS}/logs/tables.log",
    localrule: True
    conda:
        "../../environment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=CONFIG,
        settings=settings(results.tables),
        folder=subpath(output.numbers, parent=True),
        measured=measured_words(MEASUREMENTS),
    message:
        "Tables"
    shell:
        "python -m pipeline_src tables {input.metrics:q} --config {params.config:q} "
        "--paper {input.paper:q} {params.measured:q} --output {params.folder:q} > {log:q} 2>&1"


# A figure shows files of the results, or none: then the configuration, which is frozen when the run
# starts; what matters of it are params.
for kind in reported.kinds:
    shown = in_results(reported.shown(kind, "{dataset}", "{acceleration}"))
    folder = KINDS[kind].folder
    defined = results.figure(kind, len(shown) or 1)

    rule:
        name:
            f"figure_{kind}"
        input:
            shown=shown,
            outdated=outdated(defined),
        output:
            png=report(
                f"{RESULTS}/figures/{folder}{kind}.png",
                caption=f"{CAPTIONS}/{kind}.rst",
                category=KINDS[kind].heading,
            ),
            pdf=f"{RESULTS}/figures/{folder}{kind}.pdf",
        log:
            f"{RESULTS}/logs/figures/{folder}{kind}.log",
        localrule: True
        conda:
            "../../environment.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            kind=kind,
            shown=lambda wildcards, input: input.get("shown") or CONFIG,
            options=figure_options(defined),
        message:
            "Figure: "
            + KINDS[kind].message.format(
                dataset="{wildcards.dataset}", acceleration="{wildcards.acceleration}"
            )
        shell:
            "python -m pipeline_src figure {params.kind:q} {params.shown:q} {params.options:q} "
            "--output {output.png:q} > {log:q} 2>&1"


rule study_report:
    input:
        # As plain paths: for each input of a rule that has one of another, Snakemake looks at all.
        tables=list(map(str, rules.study_tables.output.pages)),
        figures=FIGURES,
        captions=captions(),
        records=in_results(reported.records()),
        paper=ancient(from_here(PAPER_CONFIG)),
        outdated=outdated(results.report),
    output:
        report(
            f"{RESULTS}/report.html",
            caption=f"{CAPTIONS}/page.rst",
            category="Report",
        ),
    log:
        f"{RESULTS}/logs/report.log",
    localrule: True
    conda:
        "../../environment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        config=CONFIG,
        results=subpath(output[0], parent=True),
        settings=settings(results.report),
    message:
        "Report: {output}"
    shell:
        "python -m pipeline_src report --config {params.config:q} --tables {input.tables:q} "
        "--figures {input.figures:q} --results {params.results:q} --output {output:q} > {log:q} 2>&1"


rule tables:
    input:
        rules.study_tables.output,


rule figures:
    input:
        FIGURES,


rule report:
    input:
        rules.study_report.output,
