"""What holds for every test process: one thread, and nothing written to a page of the job that runs it."""

import os

# Before anything imports torch; the command line's own processes get the same from `tests.support`. Two
# workers on two cores would otherwise wait for each other's threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# On GitHub every tested command would add its summary to the page of the job.
os.environ.pop("GITHUB_STEP_SUMMARY", None)
