"""Student-friendly teacher training and knowledge distillation for MRI reconstruction."""

import time

#: When this process began to import the package, on the clock of `time.perf_counter`.
IMPORT_STARTED = time.perf_counter()
