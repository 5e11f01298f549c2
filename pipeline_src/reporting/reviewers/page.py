"""Answers reviewers' questions from manifests, the configuration and the masks.

The questions are those of the checklists of MIDL and NeurIPS, of the ML Reproducibility Challenge
and of ReScience C. Anything without a record is reported as not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from pipeline_src.config.load import load_study
from pipeline_src.config.study import Study
from pipeline_src.data.sources import check_source
from pipeline_src.planning.places import STORE, Places
from pipeline_src.provenance.manifest import UNKNOWN
from pipeline_src.reporting.display_names import MODEL_TITLES, counted
from pipeline_src.reporting.reviewers.appraisal import DIFFICULT, EASY, limitations
from pipeline_src.reporting.reviewers.chosen import chosen_part
from pipeline_src.reporting.reviewers.deviations import (
    PAPER_CONFIG,
    deviations,
    options,
    split_text,
)
from pipeline_src.reporting.reviewers.efforts import (
    effort_rows,
    gpu_rows,
    machine_rows,
    model_lines,
)
from pipeline_src.reporting.reviewers.parts import Facts, Part
from pipeline_src.reporting.reviewers.records import Records
from pipeline_src.reporting.study_design import of_seed, repeated_text
from pipeline_src.sampling.effective import effective_acceleration
from pipeline_src.sampling.masks import Mask

#: The template, which the page includes.
TEMPLATE = "reviewers.html.j2"
#: Digits of a digest in a table.
DIGITS = 12


def reviewers_parts(
    study: Study, records: Records, made: Mapping[str, Any], code: str
) -> list[Part]:
    """The section for reviewers.

    Args:
        study: what was run.
        records: what its manifests, stores and masks contain.
        made: `provenance.record` of the process that writes the page.
        code: digest of the package that it runs.

    Raises:
        InputError: the paper's configuration cannot be read.
    """
    return [
        _deviations(study),
        _data(study, records),
        _sampling(study, records),
        chosen_part(study, records),
        _compute(records),
        _versions(records, made, code),
        Part("easy", "What was easy", points=list(EASY)),
        Part(
            "difficult",
            "What was difficult",
            points=[*DIFFICULT, "All of it, with its effects: docs/paper-and-code.md."],
        ),
        Part("limitations", "Limitations", points=list(limitations(study, records))),
    ]


def _deviations(study: Study) -> Part:
    chosen = options(study)
    others = deviations(study, load_study(PAPER_CONFIG))
    added = [MODEL_TITLES[name] for name in study.controls]
    tables = [
        Facts(
            "Options in which the paper's text and its authors' code differ, or this study from "
            "both."
            if chosen
            else "No option differs from the paper's text or its authors' code.",
            ("option", "this study", "paper's text", "authors' code", "as in"),
            [(o.key, o.here, o.text, o.code, o.follows) for o in chosen],
        ),
        Facts(
            "What else differs from the paper, as configured in config/paper.yaml."
            if others
            else "Data, networks and training are the paper's, as configured in config/paper.yaml.",
            ("what", "this study", "the paper"),
            [(d.what, d.here, d.paper) for d in others],
        ),
    ]
    return Part(
        "deviations",
        "Deviations from the paper",
        tables,
        [f"Controls that the paper does not have: {'; '.join(added)}."] if added else [],
    )


def _data(study: Study, records: Records) -> Part:
    rows, folded = [], []
    for name, seed in product(study.datasets, Places(study).seeds("store")):
        dataset = study.datasets[name]
        title = of_seed(study.dataset_title(name), seed)
        store, made = records.stores.get((name, seed)), records.prepared.get((name, seed))
        files = UNKNOWN if made is None else "none" if dataset.synthetic else str(len(made.inputs))
        left_out = sum(store.dropped.values()) if store else 0
        rows.append(
            (
                title,
                "synthetic (drawn)" if dataset.synthetic else "from files",
                f"{check_source(dataset.source).DESCRIPTION} ({dataset.source.kind})",
                files,
                f"{store.volumes}" if store else UNKNOWN,
                f"{store.slices}" if store else UNKNOWN,
                f"{left_out}" if store else UNKNOWN,
                store.digest[:DIGITS] if store else UNKNOWN,
            )
        )
        lines = [f"{part} ({len(ids)}): {', '.join(ids)}" for part, ids in _patients(store)]
        folded.append((f"{title}: patients", lines or [UNKNOWN]))
        if store:
            told = [f"SHA-256 of images and index: {store.digest}"]
            if made and (sha256 := made.outputs.get(STORE)):
                told.append(f"SHA-256 of the file: {sha256}")
            told += [f"left out {count} times: {why}" for why, count in store.dropped.items()]
            told += [f"found twice: {sentence}" for sentence in (made.repeated if made else [])]
            folded.append((f"{title}: store", told))
    headings = ("data set", "images", "source", "files read", "volumes", "slices", "left out")
    credits = [
        f"{study.dataset_title(name)}: {dataset.credit or UNKNOWN}"
        for name, dataset in study.datasets.items()
        if not dataset.synthetic
    ]
    return Part(
        "data",
        "Where the data comes from",
        [Facts("", (*headings, "digest of the store"), rows)],
        [f"Licence and consent: {'; '.join(credits)}."] if credits else [],
        folded,
    )


def _patients(store: Any) -> list[tuple[str, list[str]]]:
    parts = store.patients if store else {}
    return [(part, parts[part]) for part in ("train", "validation", "test") if part in parts]


def _sampling(study: Study, records: Records) -> Part:
    rows = []
    for setting, seed in product(study.settings(), Places(study).seeds("mask")):
        mask = records.masks.get((setting, seed))
        title = of_seed(study.setting_title(*setting), seed)
        rows.append((title, *(_mask_row(mask) if mask else (UNKNOWN,) * 4)))
    splits = [
        (study.dataset_title(name), split_text(dataset), dataset.report_on)
        for name, dataset in study.datasets.items()
    ]
    return Part(
        "sampling",
        "Seeds, splits and masks",
        [
            Facts(
                f"Seeds of the trainings: {', '.join(map(str, study.seeds))}."
                + (f" Each has {own} of its own." if (own := repeated_text(study)) else ""),
                ("data set", "split of the patients", "reported patients"),
                splits,
            ),
            Facts(
                "For a real image, a sample of k-space also determines the one at the opposite "
                "frequency (Hermitian symmetry). The effective acceleration is one over the "
                "fraction that is known when these partners are counted.",
                ("setting", "mask", "sampled", "known with partners", "acceleration"),
                rows,
            ),
        ],
    )


def _mask_row(mask: Mask) -> tuple[str, ...]:
    told, fraction = mask.description, float(mask.samples.mean())
    if told.get("kind") == "given":
        source = f"file {told.get('file')}, SHA-256 {str(told.get('sha256'))[:DIGITS]}"
    elif told.get("kind") == "drawn":
        lowest = counted([told.get("center_lines", 0)], "lowest line")
        source = f"drawn with seed {told.get('seed')}, the {lowest} always sampled"
    else:
        source = UNKNOWN
    lines, effective = mask.lines, effective_acceleration(mask)
    count = "" if lines is None else f", {lines.sum()} of {len(lines)} lines"
    return (
        source,
        f"{fraction:.1%}{count}",
        f"{1 / effective:.1%}",
        f"{1 / fraction:.2f} by samples, {effective:.2f} effective",
    )


def _compute(records: Records) -> Part:
    headings = ("step", "results", "processes", "time", "processor time", "peak memory", "energy")
    machines = ("processor", "cores", "system", "trained on", "processes", "time")
    gpus = ("GPU", "processes", "peak memory", "energy")
    gpu_energy = (
        "Memory is the most that a training used on a GPU. Energy is that of the whole GPU while a "
        "training had it alone; if trainings shared one, none was measured."
    )
    return Part(
        "compute",
        "Compute",
        [
            Facts(
                "Sums over all processes that worked on the present results, including interrupted "
                "and resumed ones. Pilots, repeated trainings, tables and figures are not "
                "included. Memory is that of a process, without GPU memory. Energy is that of the "
                "whole processor while a process ran, and is counted for each of several that ran "
                "at once; GPUs are not included"
                + (" and listed separately below." if (on_gpus := gpu_rows(records)) else "."),
                headings,
                effort_rows(records),
            ),
            Facts("", machines, machine_rows(records)),
            *([Facts(gpu_energy, gpus, on_gpus)] if on_gpus else []),
        ],
        folded=[("Training, by model", lines)] if (lines := model_lines(records)) else [],
    )


def _versions(records: Records, made: Mapping[str, Any], code: str) -> Part:
    commits = [
        (_commit(commit), str(count)) for commit, count in sorted(records.commits.items())
    ] or [(UNKNOWN, "")]
    packages = [
        (
            package,
            ", ".join(
                version if len(versions) == 1 else f"{version} (in {count} results)"
                for version, count in sorted(versions.items())
            ),
        )
        for package, versions in records.packages.items()
    ] or [(UNKNOWN, "")]
    return Part(
        "versions",
        "Code and packages",
        [
            Facts(
                f"This page was written by {_commit(made.get('commit') or '')}, SHA-256 of the "
                f"package's source files {code}. The digests of the files that shaped each result "
                "are in its manifest.",
                ("code of the results", "results"),
                commits,
            ),
            Facts("", ("package", "version"), packages),
        ],
    )


def _commit(told: str) -> str:
    """A commit, or why there is none."""
    if not told:
        return f"commit {UNKNOWN}"
    if told.endswith("-dirty"):
        return f"commit {told.removesuffix('-dirty')} with local changes"
    return f"commit {told}" if told.isalnum() else f"commit {UNKNOWN} ({told})"
