"""Writes the methods section of the report from the configuration that ran."""

from __future__ import annotations

from importlib import import_module

from pipeline_src.config.distillation import Method
from pipeline_src.config.networks import Network
from pipeline_src.config.section import shown
from pipeline_src.config.setting import acceleration_name
from pipeline_src.config.split import Folds, Split
from pipeline_src.config.study import Study
from pipeline_src.data.sources import check_source
from pipeline_src.evaluation.comparison import MINIMUM_SEEDS
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.reporting.display_names import RECIPE_TITLES, model_title
from pipeline_src.reporting.study_design import folds_text, repeated_text
from pipeline_src.reporting.tables.differences import INTERVALS

#: What each control is trained for.
CONTROLS = {
    "student_matched": "one trained on reconstruction alone for as many stages and epochs as the "
    "distilled ones",
    "student_sft_start": "one trained likewise from where SFT-KD-Recon students start, so that "
    "what these gain over it is due to distillation",
    "student_as_long": "one trained from random weights for as many stages as student-friendly "
    "training and distillation have together",
}
BLOCKS = "the student blocks of student-friendly training, except the first cascade"
#: Where students start, by `distillation.start`.
STARTS = {
    "recipe": f"students of a recipe with SFT start from {BLOCKS}, others from random weights",
    "sft_trained": "students of a recipe with SFT start from a student that was trained on "
    f"reconstruction for a stage, itself from {BLOCKS}; others from random weights",
    "random": "all students start from random weights",
    "sft": f"all students start from {BLOCKS}",
}


def methods_paragraphs(study: Study) -> list[str]:
    """Data, sampling, networks, training, distillation, evaluation and statistics, one paragraph
    each.
    """
    return [
        _data(study),
        _sampling(study),
        _networks(study),
        _training(study),
        _distillation(study),
        _evaluation(study),
        _statistics(study),
    ]


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _data(study: Study) -> str:
    sentences = []
    for name, dataset in study.datasets.items():
        rows, columns = dataset.preparation.matrix
        split = _split(dataset.split)
        scale = dataset.preparation.downscale
        reduced = f", averaged over blocks of {scale} x {scale} pixels," if scale > 1 else ""
        sentences.append(
            f"{study.dataset_title(name)}: magnitude slices of "
            f"{check_source(dataset.source).DESCRIPTION}{reduced} centred on a {rows} x {columns} "
            f"matrix and scaled by each volume's maximum; patients: {split}."
        )
    return "Data. " + " ".join(sentences)


def _split(split: Split | Folds) -> str:
    if isinstance(split, Folds):
        return folds_text(split)
    parts = {
        part: choice if isinstance(choice, int) else _listed(choice)
        for part, choice in split
        if part != "seed" and choice
    }
    return ", ".join(f"{part} {choice}" for part, choice in parts.items())


def _sampling(study: Study) -> str:
    factors = _listed([acceleration_name(factor) for factor in study.accelerations])
    given = [n for n, d in study.datasets.items() if d.masks]
    text = (
        f"Sampling. Acquisition was simulated with Cartesian masks of whole phase-encode lines at "
        f"{factors}, one mask for all slices of a data set and acceleration"
        f"{' in each repeat' if 'mask' in study.repeat_over else ''}"
    )
    if len(given) < len(study.datasets):
        text += (
            f"; lines were drawn with the kt-FOCUSS density of DC-CNN (seed {study.sampling.seed}),"
            f" the {study.sampling.center_lines} lowest frequencies always among them"
        )
    if given:
        text += f"; the masks of {_listed(given)} were given as files"
    return text + ". The input is the zero-filled image."


def _networks(study: Study) -> str:
    if study.networks.others:
        return _other_networks(study)

    def describe(role: str) -> str:
        network = getattr(study.networks, role)
        padded = f", inputs padded by {network.padding} pixels" if network.padding else ""
        return (
            f"the {role} is {network.name} ({network.depth} convolutions of {network.features} "
            f"features in each of {network.cascades} cascades{padded})"
        )

    return (
        f"Networks. Both are DC-CNNs, each cascade followed by data fidelity: "
        f"{describe('teacher')}; {describe('student')}."
    )


def _other_networks(study: Study) -> str:
    """Describe networks of other kinds; imports their modules, and torch."""
    # Imported by name, so that a report on DC-CNNs does not depend on how they are computed.
    describe = import_module("pipeline_src.models.registry").describe_network
    pair = {"teacher": study.networks.teacher, "student": study.networks.student}
    said = [
        f"the {role} is {'a DC-CNN of' if isinstance(network, Network) else network.kind + ':'} "
        f"{describe(network)}"
        for role, network in pair.items()
    ]
    text, followed = "; ".join(said), ""
    if study.networks.teacher.cascades is not None:
        followed = " Each cascade is followed by data fidelity."
    return f"Networks. {text[0].upper()}{text[1:]}.{followed}"


def _training(study: Study) -> str:
    t = study.training
    rounded = "" if t.precision == "fp32" else f", with convolutions in {t.precision}"
    return (
        f"Training. Every stage ran {t.epochs} epochs of Adam at learning rate "
        f"{t.learning_rate:g}, reduced by a factor {t.lr_factor:g} every {t.lr_step} epochs, with "
        f"batches of {t.batch_size} slices{rounded}; the weights of the lowest validation loss "
        f"were kept unless said otherwise. Seeds: {_listed([str(s) for s in study.seeds])}."
        f"{_repeats(study)}"
    )


def _repeats(study: Study) -> str:
    repeated = repeated_text(study)
    return f" Each seed has {repeated} of its own." if repeated else ""


def _distillation(study: Study) -> str:
    s, d = study.sft, study.distillation
    normalised = (
        "divided once more by the number of elements of the batch, as the authors' code does"
        if s.imitation_normalisation == "numel"
        else "taken as the plain mean, as the paper's text has it"
    )
    imitated = ""
    if s.imitation_domain == "features":
        imitated = " of the middle features of each cascade, not of the reconstruction"
    left = ""
    if s.branches is not None:
        cascades = "cascade 1" if s.branches == 1 else f"cascades 1 to {s.branches}"
        left = f", which left the teacher after {cascades} alone"
    text = (
        f"Distillation. The student-friendly teacher was trained with weights "
        f"{s.teacher_weight:g} (teacher reconstruction), {s.student_weight:g} (student branches"
        f"{left}) and {s.imitation_weight:g} (imitation{imitated}, {normalised})."
    )
    if study.methods:
        forms = _listed([f"{model_title(n)}{_form(m)}" for n, m in study.methods.items()])
        left = (
            "leaving those of the lowest validation feature loss"
            if d.feature_stage_selection == "best"
            else "leaving the last weights"
        )
        protocol = (
            f"first on the feature loss alone ({left}), then on reconstruction"
            if d.protocol == "two_stage"
            else f"on reconstruction plus the feature loss, {_weights(study)}"
        )
        imitation = (
            f" plus {d.imitation_weight:g} times imitation of the teacher's output"
            if d.imitation_weight
            else ""
        )
        text += (
            f" Students were distilled by {forms}, {protocol}{imitation}, as {_recipes(study)}; "
            f"{STARTS[d.start]}."
        )
    return text + _controls(study)


def _controls(study: Study) -> str:
    said = [CONTROLS[name] for name in CONTROLS if name in study.controls]
    return f" Students without distillation: {'; '.join(said)}." if said else ""


def _recipes(study: Study) -> str:
    """The recipes, each with its methods if not all methods have it."""
    told = []
    for recipe, title in RECIPE_TITLES.items():
        having = [model_title(n) for n in study.methods if recipe in study.recipes_of(n)]
        if len(having) == len(study.methods):
            told.append(title)
        elif having:
            told.append(f"{title} ({_listed(having)} alone)")
    return _listed(told)


def _weights(study: Study) -> str:
    """How the feature losses are weighted in the joint protocol."""
    given = {name: m.weight for name, m in study.methods.items() if m.weight != "auto"}
    told = [f"{model_title(name)} by {weight:g}" for name, weight in given.items()]
    if len(given) < len(study.methods):
        ratio = study.distillation.gradient_ratio
        told.append(
            f"{'others' if given else 'each'} weighted so that its gradient has {ratio:g} times "
            "the norm of the reconstruction loss's at the start"
        )
    return _listed(told)


def _form(method: Method) -> str:
    """Form, cascades and options as far as there are any, in brackets."""
    told = [f"{method.form} form"] if method.form else []
    if method.cascades:
        told.append(f"cascades {_listed([str(c) for c in method.cascades])}")
    told += [f"{key} {shown(value)}" for key, value in sorted(method.options.items())]
    return f" ({', '.join(told)})" if told else ""


def _evaluation(study: Study) -> str:
    reported = [
        f"{study.dataset_title(name)} on {dataset.report_on} patients"
        for name, dataset in study.datasets.items()
    ]
    return (
        f"Evaluation. PSNR and SSIM (7 x 7 uniform window) use the maximum of each target volume "
        f"as data range; tables give the mean over volumes: {_listed(reported)}."
    )


def _statistics(study: Study) -> str:
    margins = [
        f"{METRICS[metric].heading} {margin:g}"
        for metric, margin in study.evaluation.margins.model_dump().items()
        if margin is not None
    ]
    equivalent = (
        f" equivalent: two one-sided tests within the margin ({_listed(margins)}), corrected too."
        if margins
        else ""
    )
    return (
        "Statistics. Models are compared by patient, the mean over a patient's volumes. "
        f"{INTERVALS['split' in study.repeat_over]} corrected by Holm's method within each family "
        "of comparisons of a data set and acceleration. Better or worse: corrected p below 0.05 "
        f"and a 95 % interval without 0;{equivalent or ' equivalence is not tested.'} With fewer "
        f"than {MINIMUM_SEEDS} seeds nothing is said; with too few patients for a statement about "
        "others, seeds alone are tested, and verdicts are about these patients."
    )
