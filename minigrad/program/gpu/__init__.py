"""Programs on a device that launches kernels and repeats recorded work, such as a CUDA graph."""
