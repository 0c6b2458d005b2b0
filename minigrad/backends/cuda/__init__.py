"""CuPy on a GPU: the backend record, CUDA kernels with their launchers, generated kernels, and the diagnosis of a GPU
that does not work. Only `backend` imports CuPy, on first use."""
