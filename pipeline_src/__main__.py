"""``python -m pipeline_src COMMAND``."""

import sys

from pipeline_src.cli import main

sys.exit(main())
