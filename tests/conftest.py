"""Settings for all tests."""

import os

# Kernels here are small and several test processes share the cores: one thread each. Read by
# torch and NumPy when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# A shared machine makes any example slow once: no deadline. Failures print how to repeat them.
settings.register_profile("homefeed", deadline=None, print_blob=True)
settings.load_profile("homefeed")
