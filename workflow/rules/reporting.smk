rule cost:
    """Takes all cores, so that what it times runs alone."""
    input:
        data=in_first_setting(rules.prepare.output[0]),
        mask=in_first_setting(rules.mask.output[0]),
        teacher=in_first_setting(f"{MODEL_OF}/teacher/weights.safetensors"),
        student=in_first_setting(f"{MODEL_OF}/student/weights.safetensors"),
        code=code(*MODEL_CODE, "evaluation/cost.py"),
    output:
        f"{RESULTS}/cost.csv",
    log:
        f"{RESULTS}/logs/cost.log",
    conda:
        "../../environment.yaml"
    threads: workflow.cores
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
    benchmark:
        f"{RESULTS}/benchmarks/tables.tsv"
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


rule figure_contact_sheet:
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
    conda:
        "../../environment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        kind="contact_sheet",
        title=setting_title,
        shown=lambda wildcards, input: input.shown,
        setting="",
    message:
        "Figure: contact sheet of {wildcards.dataset}"
    shell:
        "python -m pipeline_src figure {params.kind} {params.shown} --title '{params.title}' "
        "{params.setting} --output {output.png} > {log} 2>&1"


use rule figure_contact_sheet as figure_mask with:
    input:
        shown=rules.mask.output,
        code=code("sampling/masks.py", "reporting/figures/mask.py", *FIGURE_CODE),
    output:
        png=report(
            f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/mask.png",
            caption="../report/mask.rst",
            category="Sampling",
        ),
        pdf=f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/mask.pdf",
    log:
        f"{RESULTS}/logs/figures/{{dataset}}_{{acceleration}}_mask.log",
    params:
        kind="mask",
        title=setting_title,
        shown=lambda wildcards, input: input.shown,
        setting="",
    message:
        "Figure: mask of {wildcards.dataset} at {wildcards.acceleration}"


use rule figure_contact_sheet as figure_boxplot_ssim with:
    input:
        shown=lambda wildcards: metric_files(
            wildcards.dataset, wildcards.acceleration, "slices.csv"
        ),
        code=code("evaluation/results.py", "reporting/figures/boxplot.py", *FIGURE_CODE),
    output:
        png=report(
            f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/boxplot_ssim.png",
            caption="../report/boxplot_ssim.rst",
            category="Image quality",
        ),
        pdf=f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/boxplot_ssim.pdf",
    log:
        f"{RESULTS}/logs/figures/{{dataset}}_{{acceleration}}_boxplot_ssim.log",
    params:
        kind="boxplot_ssim",
        title=setting_title,
        shown=lambda wildcards, input: input.shown,
        setting="",
    message:
        "Figure: SSIM box plot of {wildcards.dataset} at {wildcards.acceleration}"


use rule figure_contact_sheet as figure_boxplot_psnr with:
    input:
        shown=lambda wildcards: metric_files(
            wildcards.dataset, wildcards.acceleration, "slices.csv"
        ),
        code=code("evaluation/results.py", "reporting/figures/boxplot.py", *FIGURE_CODE),
    output:
        png=report(
            f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/boxplot_psnr.png",
            caption="../report/boxplot_psnr.rst",
            category="Image quality",
        ),
        pdf=f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/boxplot_psnr.pdf",
    log:
        f"{RESULTS}/logs/figures/{{dataset}}_{{acceleration}}_boxplot_psnr.log",
    params:
        kind="boxplot_psnr",
        title=setting_title,
        shown=lambda wildcards, input: input.shown,
        setting="",
    message:
        "Figure: PSNR box plot of {wildcards.dataset} at {wildcards.acceleration}"


use rule figure_contact_sheet as figure_curves with:
    input:
        shown=lambda wildcards: [
            f"{folder}/manifest.json"
            for folder in model_folders(
                wildcards.dataset, wildcards.acceleration, shown_models()
            )
        ],
        code=code("reporting/figures/curves.py", *FIGURE_CODE),
    output:
        png=report(
            f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/curves.png",
            caption="../report/curves.rst",
            category="Training",
        ),
        pdf=f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/curves.pdf",
    log:
        f"{RESULTS}/logs/figures/{{dataset}}_{{acceleration}}_curves.log",
    params:
        kind="curves",
        title=setting_title,
        shown=lambda wildcards, input: input.shown,
        setting="",
    message:
        "Figure: learning curves of {wildcards.dataset} at {wildcards.acceleration}"


use rule figure_contact_sheet as figure_panel with:
    input:
        shown=lambda wildcards: metric_files(
            wildcards.dataset,
            wildcards.acceleration,
            "panel.npz",
            only=[m for m in shown_models() if m != "sft_teacher"],
            seeds=study.seeds[:1],
        ),
        code=code("reporting/figures/panel.py", *FIGURE_CODE),
    output:
        png=report(
            f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/panel.png",
            caption="../report/panel.rst",
            category="Reconstructions",
        ),
        pdf=f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/panel.pdf",
    log:
        f"{RESULTS}/logs/figures/{{dataset}}_{{acceleration}}_panel.log",
    params:
        kind="panel",
        title=setting_title,
        shown=lambda wildcards, input: input.shown,
        setting="",
    message:
        "Figure: reconstructions of {wildcards.dataset} at {wildcards.acceleration}"


use rule figure_contact_sheet as figure_panel_teachers with:
    input:
        shown=lambda wildcards: metric_files(
            wildcards.dataset,
            wildcards.acceleration,
            "panel.npz",
            only=["teacher", "sft_teacher"],
            seeds=study.seeds[:1],
        ),
        code=code("reporting/figures/panel.py", *FIGURE_CODE),
    output:
        png=report(
            f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/panel_teachers.png",
            caption="../report/panel_teachers.rst",
            category="Reconstructions",
        ),
        pdf=f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/panel_teachers.pdf",
    log:
        f"{RESULTS}/logs/figures/{{dataset}}_{{acceleration}}_panel_teachers.log",
    params:
        kind="panel_teachers",
        title=setting_title,
        shown=lambda wildcards, input: input.shown,
        setting="",
    message:
        "Figure: teachers' reconstructions of {wildcards.dataset} at {wildcards.acceleration}"


use rule figure_contact_sheet as figure_forest with:
    input:
        shown=f"{RESULTS}/tables/differences.csv",
        code=code("reporting/figures/forest.py", *FIGURE_CODE),
    output:
        png=report(
            f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/forest.png",
            caption="../report/forest.rst",
            category="Differences",
        ),
        pdf=f"{RESULTS}/figures/{{dataset}}/{{acceleration}}/forest.pdf",
    log:
        f"{RESULTS}/logs/figures/{{dataset}}_{{acceleration}}_forest.log",
    params:
        kind="forest",
        title=setting_title,
        shown=lambda wildcards, input: input.shown,
        setting=lambda wildcards: f"--dataset {wildcards.dataset} --acceleration {wildcards.acceleration}",
    message:
        "Figure: differences in {wildcards.dataset} at {wildcards.acceleration}"


use rule figure_contact_sheet as figure_dag with:
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
    params:
        kind="dag",
        title="Steps of one setting and seed",
        shown=CONFIG,
        setting="",
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
