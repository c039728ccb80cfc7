"""Settings of the whole suite, made before torch is imported."""

import os

# Two processes with several threads each, on cores that they share, wait for one another: many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
