# Tables and figures run where Snakemake does: each takes less than being submitted would.


rule cost:
    """Takes all cores, so that what it times runs alone; on a cluster a job's cores are its own."""
    input:
        data=in_first_setting(rules.prepare.output[0]),
        mask=in_first_setting(rules.mask.output[0]),
        teacher=in_first_setting(f"{MODEL_OF}/teacher/weights.safetensors"),
        student=in_first_setting(f"{MODEL_OF}/student/weights.safetensors"),
        code=code(*MODEL_CODE, "models/multiply_adds.py", "evaluation/cost.py"),
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
        "python -m pipeline_src cost --teacher {input.teacher} --student {input.student} "
        "--data {input.data} --mask {input.mask} --threads {threads} "
        "--output {output} > {log} 2>&1"


rule study_tables:
    """All tables at once: they read the same metrics, and each takes less than starting a job."""
    input:
        metrics=all_metrics(),
        paper="config/paper_results.csv",
        cost=rules.cost.output,
        code=code(*TABLE_CODE),
        sorting=package_file("reporting/sortable.js"),
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
        titles={
            name: (dataset.title, dataset.paper)
            for name, dataset in study.datasets.items()
        },
        ablations={
            name: ablation.model_dump(mode="json")
            for name, ablation in study.ablations.items()
        },
        options=method_options(study),
        folder=subpath(output.numbers, parent=True),
    message:
        "Tables"
    shell:
        "python -m pipeline_src tables {input.metrics} --config {params.config} "
        "--paper {input.paper} --cost {input.cost} --output {params.folder} > {log} 2>&1"


SETTING = ("{dataset}", "{acceleration}")
# Figures of a setting: what the message calls them, the files they show, and the code that they
# rest on besides their own.
SETTING_FIGURES = {
    "mask": ("mask of", rules.mask.output, ["sampling/masks.py"]),
    "boxplot_ssim": (
        "SSIM box plot of",
        metric_files(*SETTING, "slices.csv"),
        ["evaluation/results.py", "reporting/missing.py"],
    ),
    "boxplot_psnr": (
        "PSNR box plot of",
        metric_files(*SETTING, "slices.csv"),
        ["evaluation/results.py", "reporting/missing.py"],
    ),
    "curves": (
        "learning curves of",
        [
            f"{folder}/manifest.json"
            for folder in model_folders(*SETTING, shown_models())
        ],
        [],
    ),
    "panel": (
        "reconstructions of",
        metric_files(
            *SETTING,
            "panel.npz",
            only=[m for m in shown_models() if m != "sft_teacher"],
            seeds=study.seeds[:1],
        ),
        [],
    ),
    "panel_teachers": (
        "teachers' reconstructions of",
        metric_files(
            *SETTING,
            "panel.npz",
            only=["teacher", "sft_teacher"],
            seeds=study.seeds[:1],
        ),
        [],
    ),
    "forest": ("differences in", f"{RESULTS}/tables/differences.csv", []),
}

for kind, (what, shown, shared) in SETTING_FIGURES.items():

    rule:
        name:
            f"figure_{kind}"
        input:
            shown=shown,
            code=code(
                *shared, f"reporting/figures/{KINDS[kind].module}.py", *FIGURE_CODE
            ),
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
            title=lambda wildcards: study.setting_title(**wildcards),
            shown=lambda wildcards, input: input.shown,
            setting=(
                "--dataset {dataset} --acceleration {acceleration}"
                if KINDS[kind].picks_setting
                else ""
            ),
        message:
            f"Figure: {what} {{wildcards.dataset}} at {{wildcards.acceleration}}"
        shell:
            "python -m pipeline_src figure {params.kind} {params.shown} --title '{params.title}' "
            "{params.setting} --output {output.png} > {log} 2>&1"


use rule figure_mask as figure_contact_sheet with:
    input:
        shown=rules.prepare.output,
        code=code("data/store.py", "reporting/figures/contact_sheet.py", *FIGURE_CODE),
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
    message:
        "Figure: contact sheet of {wildcards.dataset}"


use rule figure_mask as figure_dag with:
    input:
        # The configuration is frozen when the run starts; what matters of it are params here.
        code=code("config", "reporting/figures/dag.py", *FIGURE_CODE),
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
        title="Steps of one setting and seed",
        shown=CONFIG,
        models=models.names(),
    message:
        "Figure: the steps of the study"


rule page:
    input:
        tables=rules.study_tables.output.pages,
        figures=FIGURES,
        captions=captions(),
        code=code(*REPORT_CODE),
        template=package_file("reporting/report.html.j2"),
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
        settings=study.model_dump(mode="json"),
    message:
        "Report: {output}"
    shell:
        "python -m pipeline_src report --config {params.config} --tables {input.tables} "
        "--figures {input.figures} --output {output} > {log} 2>&1"


rule tables:
    input:
        rules.study_tables.output,


rule figures:
    input:
        FIGURES,


rule report:
    input:
        rules.page.output,
