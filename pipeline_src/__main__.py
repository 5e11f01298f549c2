"""``python -m pipeline_src COMMAND``."""

import gc
import sys

# Imports make many objects and hardly any garbage: looking for it after every 700 of them takes
# a sixth of a training's start.
gc.set_threshold(50_000)

from pipeline_src.cli import main  # noqa: E402

sys.exit(main())
