"""Which files the steps take, and which options tell them of these."""

from pipeline_src.config.setting import Setting
from pipeline_src.modules import PACKAGE
from pipeline_src.operations.preflight import refuse_unplannable
from pipeline_src.planning.given_files import (
    reconstructed_files,
    source_files_of,
    source_folder,
)
from pipeline_src.planning.plans import reconstruction_stages
from pipeline_src.provenance.crate_content import required_files
from pipeline_src.sampling.given_masks import mask_file


def repeat_options(wildcards):
    """The repeat whose store or mask is made, where it is one of several."""
    seed = wildcards.get("seed")
    return [] if seed is None else [f"--seed={seed}"]


def start_options(wildcards, input):
    """Options for the weights that a training starts from, where it has any."""
    options = {
        "--teacher": input.get("teacher"),
        "--warm-start": input.get("warm_start"),
    }
    return [word for option, path in options.items() if path for word in (option, path)]


def volumes_of(wildcards):
    """Files of a data set; as for source files, the manifest tells whether they have changed.

    As a module, their folder, which a rule of the outer workflow may make.
    """
    folder = source_folder(study, wildcards.dataset)
    if IN_MODULE and folder:
        return [ancient(from_here(folder))]
    files = source_files_of(study, wildcards.dataset)
    try:
        refuse_unplannable(files)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    return [ancient(path) for path in files]


def files_to_reconstruct(wildcards):
    """Those of an entry of `reconstruct` that are there; the manifest tells whether they changed."""
    output = f"{RESULTS}/{layout.RECONSTRUCTED}/{wildcards.name}"
    files = [
        path
        for path in reconstructed_files(study, wildcards.name, output)
        if os.path.exists(path)
    ]
    try:
        refuse_unplannable(files)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    return [ancient(path) for path in files]


def given_mask(wildcards):
    """The mask file that a setting is given, where it is."""
    setting = Setting(wildcards.dataset, wildcards.acceleration)
    given = study.datasets[setting.dataset].masks.get(setting.factor)
    return [ancient(from_here(mask_file(given)))] if given else []


def weights_of(wildcards, model, name=layout.WEIGHTS):
    """Weights of another model of the same setting and seed."""
    return f"{MODEL}/{name}".format(**{**wildcards, "model": model})


def teacher_weights(wildcards):
    """Weights of the teacher that a student is distilled from, where it is."""
    teacher = models.teacher(wildcards.model)
    return weights_of(wildcards, teacher) if teacher else []


def warm_start_weights(wildcards):
    """Student blocks of SFT, or the trained student, that a student starts from, where it does."""
    source = models.warm_start(wildcards.model)
    if not source:
        return []
    return weights_of(wildcards, source, models.warm_start_file(wildcards.model))


def trained(*stages, **more):
    """Files of a training of these stages."""
    return {
        "weights": f"{MODEL}/{layout.WEIGHTS}",
        **more,
        "manifest": f"{MODEL}/{layout.MANIFEST}",
        "histories": [f"{MODEL}/{layout.history(stage)}" for stage in stages],
    }


def captions():
    """Captions of the report, which Snakemake's own report shares."""
    return [
        from_here(path)
        for path in sorted((PACKAGE / "reporting" / "captions").glob("*.rst"))
    ]


def left_to_make(wildcards):
    """What a finished study holds and this one does not: what is called done can be packed and
    traced. Of a model that is not trained yet, one file stands for all, since there may be thousands.
    """
    folders = [os.path.dirname(path) for path in METRICS]
    of_models = [f for f in folders if os.path.basename(f) != "zero_filled"]
    sft = names_where(lambda plan: plan.stages == ["student_friendly"])
    made = [
        *in_results(n for n in required_files(study) if n != layout.CONFIG),
        *[f"{folder}/{layout.PANEL}" for folder in folders],
        *[
            f"{folder}/{layout.STUDENT_WEIGHTS}"
            for folder in of_models
            if re.fullmatch(sft, os.path.basename(folder))
        ],
        *[f"{os.path.splitext(figure)[0]}.pdf" for figure in FIGURES],
        *FIGURES,
    ]
    absent = {folder for folder in of_models if not os.path.isdir(folder)}
    return [
        path
        for path in made
        if not os.path.exists(path)
        and (
            os.path.dirname(path) not in absent
            or os.path.basename(path) == layout.MANIFEST
        )
    ]


def in_first_setting(path):
    """A file of the first setting and seed, which stands for all where they are alike."""
    return path.format(**next(study.settings())._asdict(), seed=study.seeds[0])
