"""The study as jobs of a cluster that is not SLURM's.

What is simulated is the cluster: a stand-in for LSF's `bsub` that takes the options of the profile
alone, and starts each job at once, here.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Checkout

from pipeline_src.files import sha256_file

BSUB = """#!/bin/sh
echo "$*" >> {folder}/asked
while [ $# -gt 1 ]; do
  case $1 in
    -oo) out=$2; shift 2 ;;
    -J | -q | -n | -W | -M | -gpu) shift 2 ;;
    *) echo "$1: no such option" >&2; exit 255 ;;
  esac
done
{meanwhile}
setsid "$1" > "$out" 2>&1 < /dev/null &
echo "Job <$(wc -l < {folder}/asked)> is submitted to queue <any>."
"""


def weights(checkout: Checkout) -> dict[str, str]:
    root = checkout.root / "results" / "tiny"
    return {str(p.relative_to(root)): sha256_file(p) for p in root.rglob("*.safetensors")}


def on_cluster(checkout: Checkout, programs: Path, meanwhile: str = ":") -> Checkout:
    """With a cluster, in which something is done between the submission and the start of a job."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    programs.mkdir()
    (programs / "asked").touch()
    (programs / "bsub").write_text(BSUB.format(folder=programs, meanwhile=meanwhile))
    (programs / "bsub").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return replace(checkout, environment={"PATH": path})


@pytest.mark.parametrize(
    "meanwhile",
    ["sed -i 's/study: tiny/study: other/' tiny.yaml", "echo ']' >> tiny.yaml", "rm -f tiny.yaml"],
    ids=["another-study", "half-written", "removed"],
)
def test_jobs_that_wait_do_not_see_the_configuration_being_edited(
    meanwhile: str, fresh: Checkout, tmp_path: Path
) -> None:
    cluster = on_cluster(fresh, tmp_path / "programs", meanwhile)
    options = "--profile workflow/profiles/lsf --latency-wait 5 --jobs 3 --retries 0"
    store = "results/tiny/heart/volumes.h5"
    done = cluster.tiny(store, *options.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert (cluster.root / store).exists()
    assert not (cluster.root / "results/other").exists()


def test_the_study_runs_as_jobs_of_any_submit_command(
    finished: Checkout, fresh: Checkout, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    cluster = on_cluster(fresh, programs)
    # How many cores there are in all changes no job's request.
    options = "--profile workflow/profiles/lsf --latency-wait 5 --jobs 3 --cores 64"
    done = cluster.tiny(*options.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert weights(cluster) == weights(finished) != {}
    assert (cluster.root / "results" / "tiny" / "report.html").exists()
    asked: dict[str, set[str]] = {}
    for line in (programs / "asked").read_text().splitlines():
        found = re.search(r"-J sft_kd_recon_(\w+) -q (\w+) -n 1 -W \d+ -M \d+MB(.*) -oo", line)
        assert found, line
        asked.setdefault(found[1], set()).add(found[2] + found[3])
    on_gpus = {"train", "train_sft_teacher", "train_control", "distil"}
    assert all(asked[rule] == {"gpu -gpu num=1"} for rule in on_gpus)
    others = asked.keys() - on_gpus
    assert {"prepare", "evaluate", "cost"} <= others
    assert all(asked[rule] == {"normal"} for rule in others)
    # Bare numbers, as `bkill` takes them.
    ids = re.findall(r"with external jobid '(.*)'", done.stderr)
    assert sorted(map(int, ids)) == list(range(1, len(ids) + 1)) != []
