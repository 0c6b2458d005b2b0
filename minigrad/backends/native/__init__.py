"""Kernels of the CPU that are generated as C++ and compiled by the system's compiler."""
