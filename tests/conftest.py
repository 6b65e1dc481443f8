"""One thread per test process: two workers on two cores would otherwise wait for each other's threads."""

import os

# Before anything imports torch; the command line's own processes get the same from `tests.support`.
os.environ.setdefault("OMP_NUM_THREADS", "1")
