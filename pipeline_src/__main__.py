"""Runs the command line: ``python -m pipeline_src COMMAND``."""

import sys

try:
    from pipeline_src.acceleration.fork_client import end, hand_over

    status = hand_over()
    if status is None:
        import gc

        # Imports create many objects and hardly any garbage: collecting after every 700 objects
        # would take a sixth of a training's start-up time.
        gc.set_threshold(50_000)

        try:
            from pipeline_src.cli import main

            status = main()
        except ModuleNotFoundError as error:
            # A module that a user names is missed, in a line, where it is imported.
            missing = (error.name or __package__).split(".")[0]
            if missing == __package__:
                raise
            print(
                f"error: {sys.executable} lacks the package {missing}; `make install` puts it into "
                ".venv, and `source .venv/bin/activate` switches to that",
                file=sys.stderr,
            )
            status = 2
except KeyboardInterrupt:
    # Before `main` could say so, such as during its imports; those of the client too.
    from pipeline_src.acceleration.fork_client import INTERRUPTED, end

    print("interrupted", file=sys.stderr)
    status = INTERRUPTED
end(status)
