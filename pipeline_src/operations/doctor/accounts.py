"""Checks whether SLURM lets this user charge the accounts, and use the qualities of service, that a
profile names.
"""

from __future__ import annotations

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
    """Check accounts, if SLURM keeps them, and qualities of service, if it enforces them.

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
    if not accounts and not qualities:
        return
    user = _user()
    known: dict[str, set[str]] = {}
    command = ("sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=account,qos")
    for line in filter(None, lines_of(*command) or []):
        account, _, allowed = line.partition("|")
        known.setdefault(account.lower(), set()).update(filter(None, allowed.split(",")))
    for name in accounts:
        yield _account(name, user, known)
    if known and qualities and _enforces_qos():
        charged = [known[name.lower()] for name in accounts if name.lower() in known]
        allowed_here = set().union(*(charged or known.values()))
        for name in qualities:
            yield _quality(name, user, allowed_here)


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


def _enforces_qos() -> bool:
    """Whether SLURM refuses jobs of a QOS that their user may not use."""
    lines = lines_of("scontrol", "show", "config") or []
    return any(re.match(r"AccountingStorageEnforce\s*=.*\bqos\b", line) for line in lines)


def _user() -> str:
    """The name that SLURM knows this user by, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))
