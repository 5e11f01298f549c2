# Tables and figures run where Snakemake does: each takes less than being submitted would.


rule cost:
    """Takes all cores, so that what it times runs alone; on a cluster a job's cores are its own."""
    input:
        data=in_first_setting(rules.prepare.output[0]),
        mask=in_first_setting(rules.mask.output[0]),
        teacher=in_first_setting(f"{MODEL_OF}/teacher/weights.safetensors"),
        student=in_first_setting(f"{MODEL_OF}/student/weights.safetensors"),
        code=code(cost_of),
    output:
        f"{RESULTS}/cost.csv",
    log:
        f"{RESULTS}/logs/cost.log",
    conda:
        "../../environment.yaml"
    threads: study.training.threads if workflow.non_local_exec else workflow.cores
    resources:
        mem_mb=4000,
        runtime=30,
    message:
        "Cost of teacher and student"
    shell:
        "python -m pipeline_src cost --teacher {input.teacher:q} --student {input.student:q} "
        "--data {input.data:q} --mask {input.mask:q} --threads {threads} "
        "--output {output:q} > {log:q} 2>&1"


rule study_tables:
    """All tables at once: they read the same metrics, and each takes less than starting a job."""
    input:
        metrics=all_metrics(),
        paper=ancient(from_here(PAPER)),
        cost=rules.cost.output,
        code=code(tables_of),
    output:
        tables=[
            f"{RESULTS}/tables/{name}.{suffix}"
            for name in TABLE_NAMES
            for suffix in ("csv", "md", "tex")
        ],
        pages=[
            report(
                f"{RESULTS}/tables/{name}.html",
                caption=table_caption(name),
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
        settings=settings(tables_of),
        folder=subpath(output.numbers, parent=True),
    message:
        "Tables"
    shell:
        "python -m pipeline_src tables {input.metrics:q} --config {params.config:q} "
        "--paper {input.paper:q} --cost {input.cost:q} --output {params.folder:q} > {log:q} 2>&1"


SETTING = ("{dataset}", "{acceleration}")
FIRST = study.seeds[0]
# Figures of a setting: what the message calls them, and the files they show.
SETTING_FIGURES = {
    "mask": ("mask of", f"{RESULTS}/{places.mask(*SETTING, FIRST)}"),
    "boxplot_ssim": ("SSIM box plot of", metric_files(*SETTING, "slices.csv")),
    "boxplot_psnr": ("PSNR box plot of", metric_files(*SETTING, "slices.csv")),
    "curves": (
        "learning curves of",
        [
            f"{folder}/manifest.json"
            for folder in model_folders(*SETTING, shown_models())
        ],
    ),
    "panel": (
        "reconstructions of",
        metric_files(
            *SETTING,
            "panel.npz",
            only=[m for m in shown_models() if m != "sft_teacher"],
            seeds=study.seeds[:1],
        ),
    ),
    "panel_teachers": (
        "teachers' reconstructions of",
        metric_files(
            *SETTING,
            "panel.npz",
            only=["teacher", "sft_teacher"],
            seeds=study.seeds[:1],
        ),
    ),
    "forest": ("differences in", f"{RESULTS}/tables/differences.csv"),
}

for kind, (what, shown) in SETTING_FIGURES.items():
    count = 1 if isinstance(shown, str) else len(shown)
    of = "mask" if kind == "mask" else ""
    defined = figure_of(
        kind,
        f"{{dataset}}/{{acceleration}}/{kind}",
        count,
        title=partial(setting_title, of=of),
    )

    rule:
        name:
            f"figure_{kind}"
        input:
            shown=shown,
            code=code(defined),
        output:
            png=report(
                f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/{kind}.png",
                caption=f"../report/{kind}.rst",
                category=KINDS[kind].heading,
            ),
            pdf=f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/{kind}.pdf",
        log:
            f"{RESULTS}/logs/figures/{{dataset}}_{{acceleration}}_{kind}.log",
        localrule: True
        conda:
            "../../environment.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            kind=kind,
            shown=lambda wildcards, input: input.shown,
            options=figure_options(defined),
        message:
            f"Figure: {what} {{wildcards.dataset}} at {{wildcards.acceleration}}"
        shell:
            "python -m pipeline_src figure {params.kind:q} {params.shown:q} {params.options:q} "
            "--output {output.png:q} > {log:q} 2>&1"


CONTACT_SHEET = figure_of(
    "contact_sheet",
    "{dataset}/contact_sheet",
    title=partial(setting_title, of="store"),
)


use rule figure_mask as figure_contact_sheet with:
    input:
        shown=f"{RESULTS}/{places.store('{dataset}', FIRST)}",
        code=code(CONTACT_SHEET),
    output:
        png=report(
            f"{RESULTS}/figures/{{dataset}}/contact_sheet.png",
            caption="../report/contact_sheet.rst",
            category="Data",
        ),
        pdf=f"{RESULTS}/figures/{{dataset}}/contact_sheet.pdf",
    log:
        f"{RESULTS}/logs/figures/{{dataset}}_contact_sheet.log",
    localrule: True
    params:
        kind="contact_sheet",
        options=figure_options(CONTACT_SHEET),
    message:
        "Figure: contact sheet of {wildcards.dataset}"


DAG_FIGURE = figure_of(
    "dag", "dag", title=lambda wildcards: "Steps of one setting and seed"
)


use rule figure_mask as figure_dag with:
    input:
        # The configuration is frozen when the run starts; what matters of it are params here.
        code=code(DAG_FIGURE),
    output:
        png=report(
            f"{RESULTS}/figures/dag.png",
            caption="../report/dag.rst",
            category="Steps",
        ),
        pdf=f"{RESULTS}/figures/dag.pdf",
    log:
        f"{RESULTS}/logs/figures/dag.log",
    localrule: True
    params:
        kind="dag",
        shown=CONFIG,
        options=figure_options(DAG_FIGURE),
    message:
        "Figure: the steps of the study"


rule page:
    input:
        tables=rules.study_tables.output.pages,
        figures=FIGURES,
        captions=captions(),
        records=all_records(),
        paper=ancient(from_here(PAPER_CONFIG)),
        code=code(report_of),
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/page.rst",
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
        results=RESULTS,
        settings=settings(report_of),
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
        rules.page.output,
