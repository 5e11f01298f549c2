"""The command line: every step of the pipeline is one command that a person can run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline_src import commands
from pipeline_src.acceleration.fork_client import INTERRUPTED
from pipeline_src.errors import InputError, Interrupted, in_one_line
from pipeline_src.files import remove_leftovers
from pipeline_src.planning.places import manifest_of
from pipeline_src.planning.step_code import digests
from pipeline_src.provenance.manifest import refuse_manifest_of_other, write_manifest
from pipeline_src.provenance.run_recorder import RunRecorder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    It is 0, 2 for wrong input, 75 for a training that was asked to stop and will be resumed when it
    is started again, 130 after Ctrl-C, or a status that the command returns.
    """
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        hint = getattr(options, "hint", "")
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    recorder = RunRecorder()
    try:
        made = options.command(options)
        status = made if isinstance(made, int) else getattr(made, "status", 0)
        for result in made if isinstance(made, list) else [made]:
            if isinstance(result, commands.Made):
                _write_manifest(result, options.command_name, recorder)
        sys.stdout.flush()
        return status
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 75
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as head, has stopped reading; Python must not write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InputError, OSError, MemoryError) as error:
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        return 2


def _write_manifest(made: commands.Made, command: str, recorder: RunRecorder) -> None:
    path = Path(manifest_of(str(made.outputs[0])))
    refuse_manifest_of_other(path, command)
    write_manifest(
        path,
        command=command,
        inputs=made.inputs,
        outputs=made.outputs,
        settings=made.step.settings,
        code=digests(made.step.code),
        runs=[recorder.so_far()],
        facts=made.facts,
    )
    # What an earlier run left that was killed while it wrote.
    remove_leftovers([*made.outputs, path])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline_src", description=__doc__)
    commands.add_all(parser.add_subparsers(required=True, metavar="COMMAND"))
    return parser
