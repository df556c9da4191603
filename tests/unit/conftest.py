"""What holds for every unit test."""

import os

# Models of a few thousand parameters gain nothing from a second thread, and on a busy machine threads that wait for each other cost most
# of the time. Set before torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
