"""What tables know of their study: from its configuration, or from the metrics alone."""

from __future__ import annotations

import pandas as pd
import pytest
from reporting_helpers import VOLUMES, dataset, measured, study_with

from pipeline_src.errors import InputError
from pipeline_src.reporting.tables.differences import difference_layout, difference_table
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.main_table import main_table, paper_layout, table_notes


def test_a_studys_labels_are_its_titles_kinds_and_order() -> None:
    study = study_with(
        accelerations=[6, 4],
        datasets={
            "heart": dataset(title="Heart phantom"),
            "brain": dataset(
                source={"kind": "mrbrains", "path": "x"}, title="MRBrainS", paper="mrbrains"
            ),
            "plain": dataset(),
        },
    )
    labels = Labels.of_study(study)
    assert list(labels.datasets.items()) == [
        ("heart", DatasetLabel("Heart phantom", True, None)),
        ("brain", DatasetLabel("MRBrainS", False, "mrbrains")),
        ("plain", DatasetLabel("plain", True, None)),
    ]
    assert labels.accelerations == ("6x", "4x")
    assert list(labels.settings()) == [
        (name, acceleration)
        for name in ("heart", "brain", "plain")
        for acceleration in ("6x", "4x")
    ]


def test_titles_name_data_set_and_acceleration() -> None:
    labels = Labels.of_study(study_with())
    assert labels.title("heart") == "Heart phantom"
    assert labels.title("brain", "5x") == "Brain MRI 5x"


def test_many_settings_stand_in_one_panel_per_data_set() -> None:
    labels = Labels.of_study(study_with())
    table = main_table(VOLUMES, labels)
    [whole] = labels.panels(paper_layout(table, labels))
    assert whole.equals(paper_layout(table, labels))

    more = pd.concat([VOLUMES, VOLUMES[VOLUMES["dataset"] == "heart"].assign(dataset="knee")])
    more = more[(more["dataset"] != "knee") | (more["model"] != "at")]
    labels = Labels.of_metrics(more)
    layout = paper_layout(main_table(more, labels), labels)
    panels = labels.panels(layout)
    assert [set(panel.columns.get_level_values(0)) for panel in panels] == [
        {f"{name} 4x", f"{name} 5x"} for name in ("brain", "heart", "knee")
    ]
    for panel in panels:
        assert panel.equals(layout.loc[panel.index, panel.columns])
        assert panel.columns.names == layout.columns.names
    # A model that a data set does not have takes no line of its panel.
    assert ["AT" in panel.index for panel in panels] == [True, True, False]
    # Other tables stay whole, however many settings there are.
    [differences] = labels.panels(difference_layout(difference_table(more, labels), labels))
    assert len(set(differences.columns.get_level_values(0))) == 2


def test_options_say_which_reading_of_the_method_ran() -> None:
    options = Labels.of_study(study_with()).options
    assert "losses in authors form where code and paper differ, protocol two_stage" in options


def test_metrics_alone_give_names_and_accelerations_in_order_of_their_numbers() -> None:
    rows = VOLUMES.replace({"acceleration": {"4x": "12x"}})
    labels = Labels.of_metrics(rows)
    assert labels == Labels(
        {"brain": DatasetLabel("brain"), "heart": DatasetLabel("heart")}, ("5x", "12x"), ""
    )
    # Nothing is claimed of what is not known.
    assert all(d.synthetic is None and d.paper is None for d in labels.datasets.values())
    assert main_table(rows, labels)["acceleration"].unique().tolist() == ["5x", "12x"]


def test_metrics_of_one_setting_are_a_study_of_one_setting() -> None:
    labels = Labels.of_metrics(measured({("student", "standard"): 30.0}))
    assert list(labels.settings()) == [("heart", "4x")]


def test_two_data_sets_of_one_title_are_refused() -> None:
    """In a table one would stand over the other."""
    with pytest.raises(InputError, match="'Brain'"):
        study_with(datasets={"one": dataset(title="Brain"), "two": dataset(title="Brain")})


# What the tables make of them.


def test_notes_say_which_reading_of_the_method_ran() -> None:
    study = study_with(sft={"imitation_normalisation": "mean"}, distillation={"protocol": "joint"})
    labels = Labels.of_study(study)
    notes = " ".join(table_notes(main_table(VOLUMES, labels), labels))
    assert "code and paper differ, protocol joint, imitation normalised by mean" in notes


def test_notes_without_a_study_claim_nothing_of_images_or_method() -> None:
    labels = Labels.of_metrics(VOLUMES)
    notes = table_notes(main_table(VOLUMES, labels), labels)
    assert len(notes) == 3
    assert notes[0].startswith("brain: kind of images not stated; mean over 3 volumes")
    assert notes[1].startswith("heart: kind of images not stated; mean over 3 volumes")
    assert notes[2].startswith("2 seeds per model")
