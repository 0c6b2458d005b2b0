"""Programs on a device that launches kernels and replays recorded work, as in a CUDA graph."""
