"""What holds for every component test: each starts a process of ours, a gang or a server, or loads a real model."""

import os

# Models of a few thousand parameters gain nothing from a second thread, and on a busy machine threads that wait for each other cost most
# of the time. Set before torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
