"""NumPy on the host: the backend record, and the kernels that NumPy lacks."""
