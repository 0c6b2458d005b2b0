"""Kernels of the CPU in C++, some of them generated, compiled by the system's compiler."""
