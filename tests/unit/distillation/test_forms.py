"""Forms of a loss: its class declares them, and nothing is said of a form where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_study import TINY_STUDY

from pipeline_src.config import check_study
from pipeline_src.config.distillation import PAPER_METHODS, available_methods
from pipeline_src.config.study import Study
from pipeline_src.distillation.base import _LOSSES, build_loss, loss_class
from pipeline_src.errors import InputError
from pipeline_src.operations.extensions import check_extensions, has_extensions
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.methods_text import methods_paragraphs
from pipeline_src.reporting.tables.method_options import method_options

LOSS = """\
from pipeline_src.distillation.base import DistillationLoss, register_loss
from pipeline_src.models.taps import Tap


@register_loss("own")
class Own(DistillationLoss):
    {declared}

    def taps(self):
        return [Tap("mid", k) for k in self.cascades]

    def compare(self, student, teacher):
        return self.mean([(s - t).abs().mean() for s, t in zip(student, teacher, strict=True)])
"""
WITH_FORMS = 'forms = frozenset({"authors", "original"})'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a test puts its loss; by default one without forms."""
    (tmp_path / "formed.py").write_text(LOSS.format(declared='"""Own."""'))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    _LOSSES.pop("own", None)
    sys.modules.pop("formed", None)


def study_with(**sections: Any) -> Study:
    return check_study(TINY_STUDY | sections)


def study(**own: Any) -> Study:
    return study_with(methods={"at": {}, "own": {"module": "formed", **own}})


def check(checked: Study) -> None:
    """As `check --import` and the start of a run do."""
    assert has_extensions(Models(checked))
    assert list(check_extensions(Models(checked), run_modules=True)) == []


def test_the_papers_methods_have_forms_and_others_have_none() -> None:
    of_paper = {"authors", "original"}
    for name in available_methods():
        assert loss_class(name).forms == (of_paper if name in PAPER_METHODS else set()), name
    # Those that have a form are also those that one is configured for.
    configured = study_with(methods={name: {} for name in available_methods()}).methods
    assert {n: m.form for n, m in configured.items() if m.form} == dict.fromkeys(
        sorted(PAPER_METHODS), "authors"
    )


@pytest.mark.parametrize("form", ["authors", "original"])
def test_a_form_of_a_loss_without_forms_is_refused(form: str) -> None:
    line = f"methods.own.form: '{form}' is given, but the loss has no forms; leave it out"
    asked = study(form=form)
    with pytest.raises(InputError) as refused:
        build_loss("own", asked.methods["own"], asked.networks)
    assert str(refused.value) == line
    with pytest.raises(InputError, match=line):
        check(asked)


def test_a_form_of_imitation_is_refused_at_the_start_of_a_run() -> None:
    check(study_with(methods={"imitation": {}, "own": {"module": "formed"}}))
    assert not has_extensions(Models(study_with(methods={"imitation": {}, "at": {}})))
    with pytest.raises(InputError, match=r"^methods\.imitation\.form: 'original' is given"):
        check(study_with(methods={"imitation": {"form": "original"}}))


def test_a_loss_with_forms_needs_one_of_them(folder: Path) -> None:
    (folder / "formed.py").write_text(LOSS.format(declared=WITH_FORMS))
    with pytest.raises(
        InputError, match=r"^methods\.own\.form: is missing; give authors or original$"
    ):
        check(study())
    check(study(form="original"))
    built = build_loss("own", study(form="original").methods["own"], study().networks)
    assert built.form == "original"


def test_a_form_that_the_loss_does_not_have_is_refused(folder: Path) -> None:
    (folder / "formed.py").write_text(LOSS.format(declared='forms = frozenset({"original"})'))
    with pytest.raises(InputError, match=r"'authors' is not a form of the loss; give original$"):
        check(study(form="authors"))


def test_a_loss_without_forms_may_compare_channel_with_channel(folder: Path) -> None:
    (folder / "formed.py").write_text(LOSS.format(declared="equal_channels = frozenset({None})"))
    check(study())
    networks = study_with(
        networks={"teacher": {"cascades": 3, "features": 8}, "student": {"cascades": 3}}
    ).networks
    with pytest.raises(InputError, match=r"^methods\.own compares channel with channel, but"):
        build_loss("own", study().methods["own"], networks)


def test_texts_say_nothing_of_a_form_where_there_is_none() -> None:
    text = " ".join(methods_paragraphs(study()))
    assert "distilled by AT (authors form) and own, " in text
    shown = " ".join(methods_paragraphs(study(cascades=[1, 2], options={"width": 3})))
    assert "own (cascades 1 and 2, width 3), " in shown
    assert "own (original form), " in " ".join(methods_paragraphs(study(form="original")))


def test_the_note_of_a_table_speaks_of_the_losses_with_forms() -> None:
    note = method_options(study())
    assert note.startswith("losses in authors form where code and paper differ, protocol two_stage")
    alone = study_with(methods={"own": {"module": "formed"}})
    assert method_options(alone).startswith("protocol two_stage")


@pytest.mark.parametrize("preset", ["authors", "paper"])
def test_a_preset_gives_no_form_to_methods_of_ones_own(preset: str) -> None:
    form = {"authors": "authors", "paper": "original"}[preset]
    own = {"module": "formed"}
    methods = {"cc": {}, "at": own, "own": own, "imitation": {}}
    asked = study_with(preset=preset, methods=methods)
    forms = {name: method.form for name, method in asked.methods.items()}
    assert forms == {"cc": form, "at": None, "own": None, "imitation": None}
