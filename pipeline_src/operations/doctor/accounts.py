"""Checks whether SLURM lets this user charge the accounts, use the qualities of service and submit
as many jobs as a profile says.
"""

from __future__ import annotations

import math
import os
import pwd
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline_src.operations.cluster.slurm import lines_of
from pipeline_src.operations.doctor import Finding

#: Options of `sbatch` that the plugin refuses in `slurm_extra`, and the resource that it takes.
_RESOURCES = {
    "account": ("slurm_account", r"--account[=\s]|-A\s"),
    "partition": ("slurm_partition", r"--partition[=\s]|-p\s"),
    "QOS": ("qos", r"--qos[=\s]"),
}
_SHORT_QOS = re.compile(r"(?:^|\s)-q\s*([^\s'\"]+)")


def examine_accounts(
    resources: Iterable[Mapping[str, Any]], settings: Mapping[str, Any]
) -> Iterator[Finding]:
    """Check accounts, if SLURM keeps them; qualities of service and the number of jobs, if it
    enforces them.

    Args:
        resources: those that the profile gives to all rules and to single ones.
        settings: the settings of the profile.
    """
    given = list(resources)
    extras = dict.fromkeys(str(one.get("slurm_extra", "")).strip("'\" ") for one in given)
    for what, (resource, option) in _RESOURCES.items():
        if any(re.search(option, extra) for extra in extras):
            advice = f"write {resource}: NAME in its place"
            yield Finding("error", f"slurm_extra: the plugin refuses the {what} there", advice)
    lists = (str(one["slurm_account"]) for one in given if one.get("slurm_account"))
    accounts = _distinct(name for names in lists for name in re.split(r"[,\s]+", names))
    qualities = _distinct(
        [str(settings.get("slurm-qos") or "")]
        + [str(one.get("qos") or "") for one in given]
        + [name for extra in extras for name in _SHORT_QOS.findall(extra)]
    )
    user = _user()
    known: dict[str, set[str]] = {}
    limits: dict[str, float] = {}
    fields = "format=account,qos,maxsubmitjobs"
    command = ("sacctmgr", "-nP", "show", "assoc", f"user={user}", fields)
    for line in filter(None, lines_of(*command) or []):
        account, allowed, limit = line.split("|")
        account = account.lower()
        known.setdefault(account, set()).update(filter(None, allowed.split(",")))
        limits[account] = max(limits.get(account, 0), int(limit) if limit else math.inf)
    for name in accounts:
        yield _account(name, user, known)
    enforced = _enforced() if known else set()
    # Where the first, of all rules, names no account, theirs is SLURM's default.
    named = accounts if given and given[0].get("slurm_account") else []
    charged = {name.lower() for name in named} & known.keys() or known.keys()
    if "qos" in enforced:
        allowed_here = set().union(*(known[account] for account in charged))
        for name in qualities:
            yield _quality(name, user, allowed_here)
    if "limits" in enforced:
        most, jobs = max(limits[account] for account in charged), settings.get("jobs")
        if isinstance(jobs, int) and jobs > most:
            what = (
                f"jobs: {jobs}, but SLURM takes {most:.0f} of {user} at a time; others would fail"
            )
            yield Finding("error", what, f"set jobs: {most:.0f} in the profile")


def _account(name: str, user: str, known: Mapping[str, object]) -> Finding:
    if known and name.lower() not in known:
        advice = f"set slurm_account to one of {', '.join(sorted(known))}"
        return Finding("error", f"SLURM knows no account {name!r} of {user}", advice)
    if known:
        return Finding("ok", f"account {name} of {user}")
    advice = "SLURM refuses jobs of an account that it does not know"
    what = f"account {name!r}: SLURM keeps no accounts here, or tells none"
    return Finding("warning", what, advice)


def _quality(name: str, user: str, allowed: set[str]) -> Finding:
    if name in allowed:
        return Finding("ok", f"QOS {name} of {user}")
    advice = f"choose one of {', '.join(sorted(allowed))}" if allowed else "leave it out"
    return Finding("error", f"SLURM lets {user} use no QOS {name!r}", advice)


def _enforced() -> set[str]:
    """What SLURM refuses jobs for, such as `limits` and `qos`."""
    found = (
        re.match(r"AccountingStorageEnforce\s*=\s*(.*)", line)
        for line in lines_of("scontrol", "show", "config") or []
    )
    return {word.strip() for match in found if match for word in match[1].split(",")}


def _user() -> str:
    """The name that SLURM knows this user by, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))
