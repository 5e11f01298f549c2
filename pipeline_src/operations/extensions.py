"""Checks networks, losses, data sources and their options before any job is started."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap

from pipeline_src.config.datasets import OwnSource
from pipeline_src.config.distillation import Method, is_papers
from pipeline_src.config.study import DEFAULT_METHODS, Study
from pipeline_src.data.sources import source_options
from pipeline_src.errors import errors_of
from pipeline_src.modules import running_others
from pipeline_src.planning.study_models import Models


def has_extensions(models: Models) -> bool:
    """Whether a study has networks, losses, forms or options that can only be checked with
    torch.
    """
    return bool(models.named_modules()) or any(
        study.networks.others or any(starmap(_needs_loss, study.methods.items()))
        for study in models.studies
    )


def _needs_loss(name: str, method: Method) -> bool:
    """Whether only its loss can tell if a method is right."""
    if is_papers(name, method.module):
        return bool(method.options)
    return bool(method.options or method.form) or name not in DEFAULT_METHODS


def network_modules(models: Models) -> list[str]:
    """Modules outside this project that register networks of a study or of its variants."""
    return sorted({one.module for one in models.named_modules() if one.kind == "network"})


def check_extensions(models: Models, *, run_modules: bool) -> Iterator[str]:
    """Make the networks and losses of a study and of its variants, without data.

    Args:
        models: the models of the study.
        run_modules: import the modules outside this project that it names, which runs their code.

    Yields:
        A line for each module that is not imported.

    Raises:
        InputError: a network or loss does not exist, does not have an option, or cannot be combined
            with the other networks or losses.
    """
    # Imported late: it brings torch.
    from pipeline_src.models.trial import trial

    for study in models.studies:
        unseen = {} if run_modules else {r: n for r, n in study.networks.others.items() if n.module}
        for role, network in study.networks.others.items():
            if role not in unseen:
                key = f"networks.{role}"
                with errors_of(key, "networks: "), running_others(key, network.module):
                    trial(network, *_size(study))
        for name, dataset in study.datasets.items():
            if isinstance(dataset.source, OwnSource) and run_modules:
                with errors_of(f"data set {name}"):
                    source_options(dataset.source)
        _check_losses(study, run_modules=run_modules, networks_seen=not unseen)
    if not run_modules:
        for line in module_lines(models):
            yield f"{line}, which a run imports; --import does it now"


def module_lines(models: Models) -> list[str]:
    """The modules outside this project that a study or its variants name, each as a line of whose
    it is and the file that it is in; none is imported.

    Raises:
        InputError: there is no such module.
    """
    found = {f"{one.kind} {one.name}: {one.source()}" for one in models.named_modules()}
    return sorted(found)


def _check_losses(study: Study, *, run_modules: bool, networks_seen: bool) -> None:
    from pipeline_src.distillation.base import build_loss, loss_options
    from pipeline_src.distillation.trial import try_loss

    for name, method in study.methods.items():
        if method.module is not None and not run_modules:
            continue
        if networks_seen:
            loss = build_loss(name, method, study.networks)
            if method.module is not None:
                with running_others(f"methods.{name}", method.module):
                    try_loss(loss, study.networks, f"methods.{name}")
        else:
            loss_options(name, method)


def _size(study: Study) -> tuple[int, int]:
    return next(iter(study.datasets.values())).preparation.matrix
