"""Runs the command line: ``python -m pipeline_src COMMAND``."""

from pipeline_src.acceleration.fork_client import end, hand_over

status = hand_over()
if status is None:
    import gc

    # Imports create many objects and hardly any garbage: collecting after every 700 objects would
    # take a sixth of a training's start-up time.
    gc.set_threshold(50_000)

    from pipeline_src.cli import main

    status = main()
end(status)
