"""Folders of volumes with what strangers' folders have: odd names, files that are none, copies."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from hostile_running import Hostile
from hostile_studies import on_files, study_text
from numpy.typing import NDArray

IDS = [
    *("NA", "null", "None", "nan", "inf", "true", "1e5", "007", "7", "0x1F", "2020-01-02", "1.0"),
    *("a,b", 'say "hi"', "'quoted", "a\nb", "a\r\nb", "a\tb", " a", "a ", "  ", "=1+1", "@x", "-x"),
    *(
        "#x",
        ";",
        "|",
        "\\",
        "é",
        "\N{GREEK SMALL LETTER ALPHA}",
        "\ufeffa",
        "a\u2028b",
        "a\x1b[31m",
    ),
    *("[a]", "a*", "a?", "{a}", "%s", "$HOME", "~", "a" * 200, "sub-01", "T1.nii", "\udcff"),
]


@dataclass
class Tree:
    """A folder that is filled, and what must be found in it."""

    root: Path
    rng: random.Random
    source: dict[str, Any]
    volumes: dict[tuple[str, str], NDArray[Any]] = field(default_factory=dict)
    paths: dict[tuple[str, str], Path] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    refused: bool | None = None
    told: list[str] = field(default_factory=list)

    def add(self, path: Path, patient: str, frame: str = "") -> None:
        """Write another volume, of a type and size of its own."""
        noise = np.random.default_rng(self.rng.getrandbits(32))
        shape = (self.rng.randint(8, 11), self.rng.randint(8, 11), self.rng.randint(1, 3))
        kind = self.rng.choice([np.uint8, np.int16, np.float32])
        image = (noise.random(shape) * 200 + 1).astype(kind)
        write(path, image)
        self.volumes[patient, frame], self.paths[patient, frame] = image, path

    def one(self) -> Path:
        """The file of one of the volumes."""
        return self.rng.choice(list(self.paths.values()))


def write(path: Path, image: NDArray[Any]) -> None:
    """A NIfTI file, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), path)


def nifti_tree(root: Path, rng: random.Random) -> Tree:
    """A folder per patient, of odd names, some with two visits."""
    visits = rng.random() < 0.4
    pattern = "*/*/T1.nii*" if visits else "*/T1.nii*"
    tree = Tree(
        root,
        rng,
        {"kind": "nifti", "path": "data", "pattern": pattern, "patient_pattern": "^([^/]+)/"},
    )
    for patient in rng.sample(IDS, rng.randint(3, 6)):
        for visit in (
            rng.sample(["ses-1", "ses-2", "ses-NA"], rng.randint(1, 2)) if visits else [""]
        ):
            suffix = rng.choice([".nii", ".nii.gz"])
            tree.add(root / "data" / patient / visit / f"T1{suffix}", patient, visit)
    return tree


def acdc_tree(root: Path, rng: random.Random) -> Tree:
    tree = Tree(root, rng, {"kind": "acdc", "path": "data"})
    for number in rng.sample(range(1, 150), rng.randint(3, 5)):
        patient = f"patient{number:03d}"
        folder = root / "data" / rng.choice(["training", "testing"]) / patient
        frames = rng.sample(range(1, 31), 2)
        for phase, frame in zip(("ED", "ES"), frames, strict=True):
            suffix = rng.choice([".nii", ".nii.gz"])
            tree.add(folder / f"{patient}_frame{frame:02d}{suffix}", patient, phase)
        (folder / "Info.cfg").write_text(f"ED: {frames[0]}\nES: {frames[1]}\nGroup: NOR\n")
        write(folder / f"{patient}_frame{frames[0]:02d}_gt.nii.gz", np.ones((8, 8, 1), np.uint8))
    return tree


def mrbrains_tree(root: Path, rng: random.Random) -> Tree:
    tree = Tree(root, rng, {"kind": "mrbrains", "path": "data"})
    for patient in rng.sample(IDS, rng.randint(3, 5)):
        suffix = rng.choice([".nii", ".nii.gz"])
        tree.add(root / "data/training" / patient / f"pre/reg_T1{suffix}", patient)
        write(root / "data/training" / patient / "segm.nii.gz", np.ones((8, 8, 1), np.uint8))
    return tree


# --- what is done to a tree: each must be refused, or must change nothing ---------------------


def hidden(tree: Tree) -> None:
    for name in (".trash", "@eaDir", "__MACOSX", "lost+found", "System Volume Information"):
        for path in tree.rng.sample(sorted(tree.paths.values()), 1):
            below = path.relative_to(tree.root / "data")
            write(tree.root / "data" / name / below, np.ones((8, 8, 1), np.uint8))
            write(path.parent / name / path.name, np.ones((8, 8, 1), np.uint8))
    (tree.root / "data/.DS_Store").write_bytes(b"\0" * 100)
    (tree.root / "data/README").write_text("data")


def replaced(content: bytes) -> Callable[[Tree], None]:
    def put(tree: Tree) -> None:
        tree.one().write_bytes(content)
        tree.refused = True

    return put


def broken_link(tree: Tree) -> None:
    path = tree.one()
    path.unlink()
    path.symlink_to(tree.rng.choice(["nowhere", ".git/annex/objects/aa/bb/x", path.name, "a\x1bb"]))
    tree.refused = True


def good_link(tree: Tree) -> None:
    path = tree.one()
    path.symlink_to(path.rename(tree.root / f"{tree.rng.getrandbits(32)}{path.name}"))


def unfinished(tree: Tree) -> None:
    path = tree.one()
    ending = tree.rng.choice([".part", ".crdownload", ".aria2", ".PART"])
    path.rename(path.with_name(path.name + ending))
    tree.refused = True


def both_suffixes(tree: Tree) -> None:
    path = tree.one()
    other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    write(other, np.ones((8, 8, 1), np.uint8))
    tree.refused = True


def folder_instead(tree: Tree) -> None:
    path = tree.one()
    path.unlink()
    path.mkdir()
    tree.refused = True


def missing(tree: Tree) -> None:
    if tree.source["kind"] == "nifti":
        (tree.root / "data" / "gone").mkdir()
        # A folder within it is the visit, where there are visits.
        tree.source["without_volume"] = tree.rng.choice(["error", "leave_out"])
        if tree.source["without_volume"] == "leave_out":
            tree.left_out.add("gone")
            return
    else:
        tree.one().unlink()
    tree.refused = True


def same_image(tree: Tree) -> None:
    key, source = tree.rng.sample(list(tree.paths), 2)
    image = tree.volumes[source]
    tree.paths[key].unlink()
    write(tree.paths[key], image)
    tree.volumes[key] = image


def looped(tree: Tree) -> None:
    (tree.one().parent / "loop").symlink_to(tree.root / "data")


def merged_ids(tree: Tree) -> None:
    if tree.source["kind"] != "nifti":
        return
    for name in ("KKI_0001", "KKI_0002"):
        tree.add(tree.root / "data" / f"sub-{name}" / "ses-1/T1.nii", f"sub-{name}", "ses-1")
    tree.source |= {"pattern": "sub-*/*/T1.nii*", "patient_pattern": "sub-([A-Za-z]+)"}
    tree.refused = True


def bad_info(tree: Tree) -> None:
    if tree.source["kind"] != "acdc":
        return
    info = tree.one().parent / "Info.cfg"
    content = [
        b"",
        b"ED: 99\nES: 98\n",
        b"\xff\xfe",
        b"ED: 1\n",
        b"ED: " + b"9" * 5000 + b"\nES: 2",
    ]
    info.write_bytes(tree.rng.choice(content))
    tree.refused = True


def unreadable_name(tree: Tree) -> None:
    write(tree.root / "data" / "a\x1b[31mb" / "pre/x.nii", np.ones((8, 8, 1), np.uint8))
    tree.refused = True if tree.source["kind"] == "nifti" else None


def nothing(tree: Tree) -> None:
    del tree


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
DEEDS = [
    *(
        nothing,
        nothing,
        hidden,
        hidden,
        broken_link,
        good_link,
        good_link,
        unfinished,
        both_suffixes,
    ),
    *(folder_instead, missing, missing, same_image, same_image, looped, merged_ids, bad_info),
    *(unreadable_name, replaced(b""), replaced(LFS), replaced(b"/annex/objects/SHA256E-s12--00\n")),
    *(replaced(b"no image"), replaced(b"\x1f\x8b\x08\x00"), replaced(b"\0" * 352)),
]


def _split(tree: Tree) -> dict[str, Any]:
    patients = sorted({patient for patient, _ in tree.volumes} | tree.left_out)
    tree.rng.shuffle(patients)
    # Every volume takes part, so that what is wrong with one is met.
    if tree.rng.random() < 0.5 or any(set("[*?") & set(p) for p in patients) or tree.left_out:
        return {"train": len(patients) - 2, "validation": 1, "test": 1}
    return {"train": patients[2:], "validation": patients[:1], "test": patients[1:2]}


def draw(rng: random.Random, folder: Path) -> Hostile:
    """A tree in one of three layouts, with something done to it."""
    tree = rng.choice([nifti_tree, nifti_tree, acdc_tree, mrbrains_tree])(folder, rng)
    deeds = rng.choices(DEEDS, k=rng.choice([1, 1, 2]))
    for deed in deeds:
        if tree.refused is None:
            deed(tree)
    if same_image in deeds and tree.refused is False:
        tree.refused = None
    text = study_text(folder, tree.source, _split(tree))
    paths = "\n".join(sorted(ascii(str(p.relative_to(folder))) for p in folder.rglob("*")))
    command = rng.choice(["check", "prepare", "prepare"])
    # The content is looked at when it is read.
    refused = tree.refused if tree.refused and command == "prepare" else None
    if not set(deeds) & {same_image, merged_ids, unreadable_name, bad_info} and not tree.refused:
        refused = False
    if any("\udcff" in patient for patient, _ in tree.volumes):
        refused = True  # tables could not hold it
    elif command == "check" and any("{" in patient for patient, _ in tree.volumes):
        refused = True  # Snakemake would take it for a wildcard; preparing by hand is possible
    return on_files(
        command,
        folder,
        text,
        paths,
        tree.volumes,
        left_out=tree.left_out,
        refused=refused,
    )
