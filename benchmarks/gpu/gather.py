"""`python -m benchmarks.gpu.gather --out FOLDER`: what a GPU machine without network lacks, in one
folder of at most 60 MB: wheels, the data, and a script that installs and runs.

Which wheels follows from requirements.lock: what the project needs, less what such a machine has
and what only that needs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from pipeline_src.errors import InputError, in_one_line

PROJECT = Path(__file__).resolve().parents[2]
MOST_BYTES = 60_000_000
#: What comes with a machine for deep learning; `--has` names more.
HAS = (
    *("torch", "triton", "numpy", "scipy", "pandas", "h5py", "scikit-image", "seaborn"),
    *("matplotlib", "safetensors", "jinja2", "psutil", "pyyaml", "rich", "tabulate", "tqdm"),
)
#: What the command does without, and why.
WITHOUT = {
    "pulp": "the default profile has Snakemake choose by priority",
    "snakemake-executor-plugin-slurm": "nothing is submitted",
    "snakemake-executor-plugin-slurm-jobstep": "nothing is submitted",
    "rocrate": "nothing is packed as a crate",
}
#: Published as source alone; pure Python, so that a wheel made anywhere fits.
SOURCE_ONLY = ("connection-pool",)
PYTHON = "3.12"
TARGET = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}
#: pip takes a tag as it is written, older ones are not implied.
PLATFORMS = (
    "manylinux2014",
    "manylinux_2_17",
    "manylinux_2_24",
    "manylinux_2_27",
    "manylinux_2_28",
)
RUN = """#!/bin/sh
# sh run.sh COMMAND...: install the wheels beside this script, then run the command with them.
set -e
here=$(cd "$(dirname "$0")" && pwd)
site=${SITE:-$(mktemp -d)}
python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \\
  --target "$site" "$here"/wheels/*.whl
# The pipeline's rules call python, which some machines know as python3 alone.
mkdir -p "$site/bin"
printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$(command -v python3)" > "$site/bin/python"
chmod +x "$site/bin/python"
PATH="$site/bin:$PATH"
PYTHONPATH="$site:$PWD${PYTHONPATH:+:$PYTHONPATH}"
export PATH PYTHONPATH
exec "$@"
"""


@dataclass(frozen=True)
class Locked:
    """A package of the lock file.

    Attributes:
        text: its lines, with version and hashes.
        needed_by: names of the packages that need it; the project under its own name.
    """

    name: str
    text: str
    needed_by: frozenset[str]


def main() -> int:
    """Gather; status 2 where that is impossible."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.gather", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="new folder to gather in")
    parser.add_argument("--data", type=Path, help="folder that holds acdc/ (default: none)")
    parser.add_argument("--has", nargs="+", default=[], help="more packages that are there")
    options = parser.parse_args()
    try:
        gather(options.out, options.data, [*HAS, *options.has])
    except (InputError, OSError) as error:
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        return 2
    print(
        f"{options.out}: {_size(options.out) / 1e6:.0f} MB; carry it and the checkout, then there:"
    )
    data = f" --data {options.out.name}/data" if options.data else ""
    print(f"  sh {options.out.name}/run.sh python -m benchmarks.gpu --budget 450 --out found{data}")
    return 0


def gather(out: Path, data: Path | None, has: Collection[str]) -> None:
    """Fill a new folder.

    Raises:
        InputError: the folder is there, holds too much, or a wheel cannot be had.
    """
    if out.exists():
        raise InputError(f"{out}: is there already; give a new folder")
    if data is not None and not (data / "acdc").is_dir():
        raise InputError(f"{data}: has no acdc; give the folder that holds it")
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=_parent(out)))
    try:
        if data is not None:
            shutil.copytree(data / "acdc", made / "data" / "acdc", copy_function=shutil.copyfile)
            for readme in data.glob("README*"):
                shutil.copyfile(readme, made / "data" / readme.name)
        refuse_too_much(made)
        download(wanted(PROJECT / "requirements.lock", has), made / "wheels")
        (made / "run.sh").write_text(RUN)
        refuse_too_much(made)
        made.chmod(0o755)
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _parent(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def wanted(lock: Path, has: Collection[str]) -> list[Locked]:
    """What the project needs on the target and neither `has` nor `WITHOUT` names, sorted.

    What only those need is left out too, and so is what development alone needs.
    """
    known = read_lock(lock.read_text(encoding="utf-8"))
    missing = {canonicalize_name(name) for name in (*has, *WITHOUT)}
    found: dict[str, Locked] = {}
    waiting = [name for name in _runtime_names() if name in known]
    while waiting:
        name = waiting.pop()
        if name in missing or name in found:
            continue
        found[name] = known[name]
        waiting += [other.name for other in known.values() if name in other.needed_by]
    return [found[name] for name in sorted(found)]


def _runtime_names() -> list[str]:
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    pins = tomllib.loads(text)["project"]["dependencies"]
    return [canonicalize_name(pin.partition("==")[0]) for pin in pins]


def read_lock(text: str) -> Mapping[str, Locked]:
    """The packages of a lock file of `uv pip compile` or `pip-compile` that the target needs."""
    found: dict[str, Locked] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        match = re.match(r"([A-Za-z0-9._-]+)==[^ ;]+(?: *; *([^\\\n]*))?", block)
        if not match or (match[2] and not Marker(match[2].strip()).evaluate(TARGET)):
            continue
        lines = block.splitlines()
        comments = [line.strip()[1:].strip() for line in lines if line.strip().startswith("#")]
        needed = {
            canonicalize_name(comment.removeprefix("via").split("(")[0].strip())
            for comment in comments
            if comment.removeprefix("via").strip()
        }
        own = "\n".join(line for line in lines if not line.strip().startswith("#"))
        name = canonicalize_name(match[1])
        found[name] = Locked(name, own, frozenset(needed))
    return found


def download(packages: list[Locked], folder: Path) -> None:
    """Wheels of the packages for the target, checked by their hashes.

    Raises:
        InputError: pip cannot get one; what it said last is in the line.
    """
    folder.mkdir()
    platforms = [f"--platform={name}_x86_64" for name in PLATFORMS]
    binary = [p for p in packages if p.name not in SOURCE_ONLY]
    source = [p for p in packages if p.name in SOURCE_ONLY]
    common = ["--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check"]
    _pip(
        [
            *("download", *common, "--only-binary=:all:", f"--python-version={PYTHON}"),
            *("--implementation=cp", *platforms, f"--dest={folder}"),
        ],
        binary,
    )
    if source:
        _pip(["wheel", *common, f"--wheel-dir={folder}"], source)
    unfit = [p.name for p in folder.glob("*.whl") if not _fits(p.name)]
    if unfit:
        raise InputError(f"{unfit[0]}: is made for this machine alone; it needs a wheel")


def _fits(wheel: str) -> bool:
    return wheel.endswith("-any.whl") or ("manylinux" in wheel and "x86_64" in wheel)


def _pip(arguments: list[str], packages: list[Locked]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(package.text for package in packages) + "\n")
        listed.flush()
        command = [sys.executable, "-m", "pip", *arguments, "--requirement", listed.name]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise InputError(f"pip {arguments[0]}: {(said or [done.stderr.strip()])[-1]}")


def refuse_too_much(folder: Path, most: int = MOST_BYTES) -> None:
    """Refuse a folder that holds more than can be carried.

    Raises:
        InputError: it does; the line names what is largest.
    """
    total = _size(folder)
    if total <= most:
        return
    files = sorted(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
        reverse=True,
    )
    largest = ", ".join(
        f"{path.relative_to(folder)} ({path.stat().st_size / 1e6:.1f} MB)" for path in files[:5]
    )
    raise InputError(
        f"{total / 1e6:.0f} MB where at most {most / 1e6:.0f} can be carried; largest: {largest}; "
        "give less data, or name with --has what the machine has"
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
