"""CuPy on a GPU: the backend record, CUDA kernels with their launchers, generated kernels, and what to do about a GPU
that does not work. Only `backend` imports CuPy, when it is first asked for."""
