"""Packaging: `pip install .` installs minigrad's dependencies, `pip install '.[vae]'` also those of vae."""

from pathlib import Path

from setuptools import find_packages, setup

VAE = ["matplotlib>=3.8", "pillow>=11", "rich>=13", "safetensors>=0.4"]
TESTING = ["hypothesis>=6.100"]
TEST = ["pytest>=8", "pytest-xdist>=3.5", *TESTING, "mpmath>=1.3", "packaging>=23", "ruff>=0.5"]
OMNIGLOT = ["scipy>=1.13"]
MPI = ["mpi4py>=4", "mpich>=4"]

setup(
    name="minigrad",
    version="0.1.0",
    description="Automatic differentiation you can read in an afternoon, and a VAE whose gradients are checked",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["minigrad*", "vae*"]),
    package_data={
        "minigrad": ["py.typed"],
        "minigrad.backends.cuda": ["*.cu"],
        "minigrad.backends.native": ["*.cpp", "*.h"],
        "vae.lecture": ["*.css", "*.js"],
    },
    install_requires=["numpy>=2.0", "threadpoolctl>=3.1"],
    extras_require={
        "vae": VAE,
        "testing": TESTING,  # for minigrad.testing, which tests rules and functions of yours
        "test": [*VAE, *OMNIGLOT, *MPI, *TEST],
        "cuda12": ["cupy-cuda12x[ctk]>=14"],
        "cuda13": ["cupy-cuda13x[ctk]>=14"],
        "kernels": ["cuda-bindings==13.5.0", "nvidia-cuda-nvrtc==13.5.37"],  # for tests of CUDA kernels without a GPU
        "mpi": MPI,
        "omniglot": OMNIGLOT,  # only for Burda's chardata.mat, a MATLAB file
        "bench": ["torch>=2.2", "autograd>=1.7", "jax>=0.6", "mygrad>=2.3", *VAE],
    },
)
