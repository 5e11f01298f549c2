"""What the doctor says of accounts and qualities of service; SLURM's commands are stand-ins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline_src.operations.doctor.accounts import examine_accounts

ASSOCIATIONS = "mri|normal,long|200\nguests|normal|50"
ENFORCED = "AccountingStorageEnforce = associations,limits,qos,safe"


def findings(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    enforced: str,
    known: str,
    of_all: dict[str, Any] | None = None,
    **given: Any,
) -> list[str]:
    """What is said where SLURM tells this, of a profile whose trainings ask for ``given``, and all
    other rules for ``of_all``, or for the same.
    """
    for name, output in (("sacctmgr", known), ("scontrol", f"{enforced}\nSlurmUser = x")):
        (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("LOGNAME", "somebody")
    settings = {"slurm-qos": given.pop("of_profile", None), "jobs": given.pop("jobs", 50)}
    defaults = {"slurm_partition": "cpu", **(given if of_all is None else of_all)}
    found = list(examine_accounts([defaults, given, given], settings))
    assert not any("somebody" in finding.what for finding in found)
    return [f"{one.verdict}: {one.what}; {one.advice}" for one in found]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"slurm_account": "mri"}, ["ok: account mri of"]),
        ({"slurm_account": "MRI guests"}, ["ok: account MRI of", "ok: account guests of"]),
        ({"slurm_account": "mrt"}, ["error: SLURM knows no account 'mrt' of"]),
        ({"qos": "long"}, ["ok: QOS long of"]),
        ({"of_profile": "huge"}, ["error: SLURM lets"]),
        ({"slurm_extra": "'--signal=USR1@120 -q huge'"}, ["error: SLURM lets"]),
        ({"qos": "long", "slurm_account": "guests"}, ["ok: account guests of", "error: SLURM"]),
        ({"slurm_extra": "'--qos=long'"}, ["error: slurm_extra: the plugin refuses the QOS there"]),
        ({"slurm_extra": "'-A mri'"}, ["error: slurm_extra: the plugin refuses the account there"]),
        ({"slurm_extra": "'--signal=USR1@120'"}, []),
        ({"jobs": 200}, []),
        ({"jobs": 201}, ["error: jobs: 201, but SLURM takes 200 of"]),
        ({"jobs": 51, "slurm_account": "guests"}, ["ok", "error: jobs: 51, but SLURM takes 50 of"]),
    ],
)
def test_accounts_and_qualities_that_slurm_knows(
    given: dict[str, Any], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = findings(tmp_path, monkeypatch, ENFORCED, ASSOCIATIONS, **given)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_rules_without_an_account_charge_slurms_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever account single rules charge."""
    profile = {"slurm_account": "guests", "of_all": {"qos": "long"}, "jobs": 200}
    found = findings(tmp_path, monkeypatch, ENFORCED, ASSOCIATIONS, **profile)
    assert [line.partition(":")[0] for line in found] == ["ok", "ok"]


def test_what_may_be_chosen_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [account] = findings(tmp_path, monkeypatch, ENFORCED, ASSOCIATIONS, slurm_account="mrt")
    assert account.endswith("; set slurm_account to one of guests, mri")
    [quality] = findings(tmp_path, monkeypatch, ENFORCED, ASSOCIATIONS, qos="huge")
    assert quality.endswith(" use no QOS 'huge'; choose one of long, normal")


@pytest.mark.parametrize(
    ("enforced", "known"),
    [
        ("AccountingStorageEnforce = associations", ASSOCIATIONS),
        (ENFORCED, ""),
        (ENFORCED, "mri|huge|"),
    ],
    ids=["not-enforced", "no-accounting", "no-limit"],
)
def test_nothing_is_wrong_that_slurm_may_take(
    enforced: str, known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = findings(tmp_path, monkeypatch, enforced, known, qos="huge", jobs=10_000)
    assert all(line.startswith("ok: QOS huge") for line in found)


def test_an_account_where_slurm_keeps_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [said] = findings(tmp_path, monkeypatch, ENFORCED, "", slurm_account="mri")
    assert said.startswith("warning: account 'mri': SLURM keeps no accounts here")
