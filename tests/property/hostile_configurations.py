"""Configurations that are wrong in one place: by their values, or by their YAML."""

from __future__ import annotations

import math
import os
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from hostile_running import Hostile
from hostile_studies import tiny_study

from pipeline_src.config import load_study
from pipeline_src.config.reference import key_paths
from pipeline_src.config.section import merge

VALUES: list[Any] = [
    *(None, True, False, "yes", "no", "null", "NA", "nan", "1e5", "3", "3.0", " 3", "0x10"),
    *(0, -1, 1, 2, 3, 4, 3.0, 3.5, 1e300, -0.0, 10**9, 10**12, 2**63, 2**64, 10**30, 10**400),
    *(float("inf"), float("-inf"), float("nan"), "", " ", "~", "$HOME", "$NOT_SET_ANYWHERE", "*"),
    *([], {}, [[]], [None], [True], ["a"], [4, 4], [1, 2, 3], [0.5], {"a": 1}, {1: 2}, [16, 16]),
    *({None: 1}, {4: "m.npy"}, {"at": None}, {"at": {}}, [True, 16], [2**40, 2**40], ["at"]),
    *("a\0b", "a\x1b[31mb", "a\nb", "\u202eabc", "\ud800", "x" * 5000, "é\u2028", "\ufeff", "=1+1"),
    *("(", "[", "(?P<a>", "(a)(b)?", "**", "**/*", "../..", "/", "///", "a//b", "[!", "sub-(.*)"),
    *("/dev/null", "/proc/self/mem", "con", "..", ".", "{study}", "{0}", "%s", "'", '"', "\\"),
    *("phantom", "nifti", "acdc", "cuda", "auto", "authors", "paper", "error", "drop", "RAS"),
    *("os.path", "..x", ".", "pipeline_src.cli.x", "a.b.c", "NA", "SFT", "teacher", "sft_teacher"),
]
# Values that many keys take, or all but take.
LIKELY: list[Any] = [
    *(1, 2, 3, 4, 5, True, "3", "1e-3", "0x10", 3.0, 0.5, "0.5", None, "a title", 10**9, 2**70),
    *([1], [2], ["4"], [4.0], [True], [1, 2], [1, "2"], 1000, float("inf"), "yes", 0, 1e-300),
]
NAMES = ["NA", "null", "true", "1e5", "a-b", "a/b", "..", "", "a" * 300, "é", "a\nb", "con", "at"]


def _base(rng: random.Random, folder: Path) -> dict[str, Any]:
    study = tiny_study()
    if rng.random() < 0.4:
        heads = study["datasets"]["heads"]
        heads["source"] = {"kind": "nifti", "path": "data", "pattern": "sub-*.nii"}
        heads["title"] = "Heads"
        study["data_root"] = str(folder)
    if rng.random() < 0.3:
        study["preset"] = rng.choice(["paper", "authors"])
    if rng.random() < 0.3:
        study["ablations"] = {
            "domain": {
                "models": ["sft_teacher"],
                "variants": {"features": {"set": {"sft": {"imitation_domain": "features"}}}},
            }
        }
    return study


def _paths(study: Mapping[str, Any]) -> list[str]:
    """Every key there could be, with the names of this study in it."""
    names = {"datasets.NAME": "heads", "methods.NAME": "at", "ablations.NAME": "domain"}
    # An earlier change may have put something else in its place.
    source: Any = study
    for key in ("datasets", "heads", "source"):
        source = source.get(key) if isinstance(source, dict) else None
    source = source if isinstance(source, dict) else {"kind": "phantom"}
    found = []
    for path in key_paths():
        for name, own in names.items():
            path = path.replace(name, name.replace("NAME", own))
        found.append(path.replace("variants.NAME", "variants.features"))
    there = [f"datasets.heads.source.{key}" for key in source]
    return sorted({*found, *there, f"datasets.heads.source.{source.get('kind', 'phantom')}"})


def _with(data: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    inner = data.get(path[0]) if isinstance(data, dict) else None
    return {**(data if isinstance(data, dict) else {}), path[0]: _with(inner, path[1:], value)}


def _other_value(rng: random.Random, study: dict[str, Any]) -> dict[str, Any]:
    for _ in range(rng.choice([1, 1, 1, 2])):
        path = rng.choice(_paths(study)).split(".")
        study = _with(study, path, rng.choice(LIKELY if rng.random() < 0.4 else VALUES))
    return study


def _other_name(rng: random.Random, study: dict[str, Any]) -> dict[str, Any]:
    section = rng.choice(["datasets", "methods", "ablations"])
    old = study.get(section) or {"at": {}}
    return {**study, section: {rng.choice(NAMES): value for value in old.values()}}


def _damaged(rng: random.Random, text: str) -> str:
    """The text, wrong somewhere."""
    at = rng.randrange(len(text))
    strange = rng.choice(
        ["\t", "\0", "\x1b", "\u2028", "&a ", "*a", "<<: ", "!!python/name:os ", ":"]
    )
    return text[:at] + rng.choice(["", strange, strange]) + text[at + rng.randrange(2) :]


def _bomb(rng: random.Random) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, rng.choice([8, 12, 30])):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines) + "\n"


# Each takes the text of a good study; whether the result must be refused is told beside it.
TEXTS: list[tuple[Callable[[random.Random, str], str], bool | None]] = [
    (_damaged, None),
    (_damaged, None),
    (_damaged, None),
    (lambda _, text: text + "seeds: [1]\nseeds: [2]\n", True),
    (lambda _, text: text + "training: {epochs: 2, threads: 1, epochs: 3}\n", True),
    (lambda rng, text: _bomb(rng) + text, True),
    (lambda _, text: text + "title: &t [*t]\n", True),
    (lambda rng, text: text + f"title: {'[' * (n := rng.choice([60, 3000]))}{']' * n}\n", True),
    (lambda rng, text: text + f"title: {'{a: ' * (n := rng.choice([60, 900]))}{'}' * n}\n", True),
    (lambda _, text: text + "---\nstudy: other\n", True),
    (lambda _, text: text + "sampling: {<<: {center_lines: 1}, seed: 3}\n", True),
    (lambda _, text: text + "sft: {<<: {student_weight: 2.0}, teacher_weight: 3}\n", False),
    (lambda _, text: text + "sft: {<<: [{student_weight: 2.0}, {student_weight: 9}]}\n", False),
    (lambda _, text: text + "sft: {<<: 3}\n", True),
    (lambda _, text: text + "seeds: &s [0, 1]\nnetworks: {teacher: {features: *s}}\n", True),
    (
        lambda rng, text: text + f"seeds: [{rng.choice(['010', '1:30', '0o17', '1_0', '+3'])}]\n",
        None,
    ),
    (lambda _, text: f"\ufeff{text}", False),
    (lambda _, text: text.replace("\n", "\r\n"), False),
    (lambda _, text: f"# {'x' * (1 << 21)}\n{text}", True),
    (lambda _, text: text + "? [a, b]\n: 3\n", True),
    (lambda _, text: text + "3: 4\nnull: 5\n", True),
    (lambda _, text: text + "title: !!binary aGVsbG8=\n", None),
    (lambda _, text: text + "title: !!python/object/apply:os.system [true]\n", True),
    (lambda _, text: text + "title: 2020-01-02\n", True),
    (lambda _, text: text + "seeds: !!set {1, 2}\n", None),
    (lambda _, text: text + "title: 'a\n", True),
    (lambda rng, _: rng.choice(["", "3", "- a", "null", "[]", "{}", "a", "---", "\0"]), True),
]

OVERRIDES = [
    *(
        "training.epochs=3",
        "training.epochs=",
        "training.epochs",
        "=3",
        "..=3",
        "training..epochs=3",
    ),
    *(
        "seeds=[0, 1]",
        "seeds=[0",
        "seeds={a: [}",
        "title=a: b",
        "title=\t",
        "title='NA'",
        "title=NA",
    ),
    *("title=1e5", "training.learning_rate=1e-3", "training.learning_rate=.inf", "seeds=010"),
    *("training.epochs=true", "training=3", "training={epochs: 3, epochs: 4}", "study=\x1b[31m"),
    *("datasets.heads=null", "datasets.heads.split.train=1:30", "title=" + "[" * 3000, "a\0=b"),
    *("datasets.heads.source.seed=-1", "sampling.seed=-1", "accelerations=[4, 8]", "seeds=[yes]"),
    *("methods.at.module=..", "title=\ud800", "title==1+1", "training.epochs=3=4", "seeds=*a"),
]


def draw(rng: random.Random, folder: Path) -> Hostile:
    """A study, wrong in one place, for the check command."""
    study, refused, overrides = _base(rng, folder), None, []
    how = rng.randrange(10)
    if how < 5:
        study = _other_value(rng, study)
    elif how == 5:
        study = _other_name(rng, study)
    text = yaml.safe_dump(study, sort_keys=False, allow_unicode=rng.random() < 0.5)
    if how in (6, 7):
        change, refused = rng.choice(TEXTS)
        text = change(rng, text)
    elif how > 7:
        overrides = rng.choices(OVERRIDES, k=rng.choice([1, 1, 2]))
    path = folder / rng.choice(["study.yaml", "a b.yaml", "a\x1b[31m.yaml", "ü.yml"])
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    without_data = rng.random() < 0.5 or "data_root" in study
    if refused is False and not without_data:
        refused = None
    arguments = ["check", "--config", str(path), *(["--no-data"] if without_data else [])]
    for override in overrides:
        arguments += ["--set", override]

    def verify() -> None:
        given = yaml.safe_load(text)
        for override in overrides:
            key, _, value = override.partition("=")
            # Later ones go over earlier ones, key by key.
            given = merge(given, _with({}, key.split("."), yaml.safe_load(value)))
        used = load_study(path, overrides).model_dump()
        assert differences(given, used, "") == []
        # YAML takes these for 8 and 90.
        assert not re.search(r"(seeds|train)(: |=)\[?(010|1:30)", "\n".join([text, *overrides]))

    return Hostile(arguments, text[:3000], None, verify, refused)


PATHS = ("data_root", "source.path")


def differences(given: Any, used: Any, at: str) -> list[str]:
    """Where a value that was written is not the one that is used."""
    if isinstance(given, dict) and isinstance(used, dict):
        return [
            found
            for key, value in given.items()
            for found in (
                differences(value, used[key], f"{at}.{key}")
                if key in used
                else [f"{at}.{key}: dropped"]
            )
        ]
    if isinstance(given, set):
        given = sorted(given)
    if isinstance(given, list) and isinstance(used, list | tuple):
        if len(given) != len(used):
            return [f"{at}: {given!r} became {used!r}"]
        return [
            found
            for number, (one, other) in enumerate(zip(given, used, strict=True))
            for found in differences(one, other, f"{at}[{number}]")
        ]
    return [] if _means(given, used, at) else [f"{at}: {given!r} became {used!r}"]


def _means(given: Any, used: Any, at: str) -> bool:
    """Whether a value is the one given, or the same number or truth in another form."""
    if isinstance(given, bytes):
        return used == given.decode()
    if given is None and isinstance(used, dict):
        return True  # an empty section
    if isinstance(given, str) and at.endswith(PATHS):
        return used == os.path.expanduser(os.path.expandvars(given))  # noqa: PTH111
    if isinstance(used, bool):
        words = {"yes": True, "true": True, "no": False, "false": False, 1: True, 0: False}
        return used is given or (not isinstance(given, bool) and words.get(given) is used)
    if isinstance(given, bool) or given is None or used is None:
        return used is given
    if isinstance(used, int | float):
        try:
            number = float(given) if isinstance(given, str) else given
        except ValueError:
            return False
        return number == used and math.isfinite(used)
    return type(given) is type(used) and given == used
