"""Packaging: `pip install .` installs minigrad's dependencies, `pip install '.[vae]'` also those of vae.

The distribution has another name than its packages, minigrad and vae, because other projects have these names on PyPI.
It has no URLs, because it has no public address.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "minigrad" / "__init__.py").read_text(encoding="utf-8"))[1]

VAE = ["matplotlib>=3.8", "pillow>=11", "rich>=13", "safetensors>=0.4"]
TESTING = ["hypothesis>=6.100"]
TEST = ["pytest>=8", "pytest-xdist>=3.5", *TESTING, "mpmath>=1.3", "packaging>=23", "ruff>=0.5"]
ARRAY_API = ["array-api-strict>=2.6", "array-api-compat>=1.13", "array-api-extra>=0.9"]
TYPES = ["mypy>=1.15", "pyright>=1.1.408"]
DOCS = ["pdoc>=15"]
OMNIGLOT = ["scipy>=1.13"]
MPI = ["mpi4py>=4", "mpich>=4"]
BFLOAT16 = ["ml_dtypes>=0.5"]

setup(
    name="minigrad-autodiff",
    version=VERSION,
    description="Automatic differentiation you can read in an afternoon, and a VAE whose gradients are checked",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="minigrad maintainers",
    license_expression="MIT",
    license_files=["LICENSE"],
    keywords="automatic differentiation, autodiff, gradients, numpy, cupy, variational autoencoder, education",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Education",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Mathematics",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["minigrad*", "vae*"]),
    package_data={
        "minigrad": ["py.typed"],
        "minigrad.backends.cuda": ["*.cu"],
        "minigrad.backends.native": ["*.cpp", "*.h"],
        "vae": ["py.typed"],
        "vae.lecture": ["*.css", "*.js"],
    },
    entry_points={"console_scripts": ["minigrad = minigrad.__main__:command", "vae = vae.__main__:command"]},
    install_requires=["numpy>=2.0", "threadpoolctl>=3.1"],
    extras_require={
        "vae": VAE,
        "testing": TESTING,  # for minigrad.testing, which tests rules and functions of yours
        "test": [*VAE, *OMNIGLOT, *MPI, *BFLOAT16, *TEST, *ARRAY_API, *TYPES, *DOCS, "setuptools>=77"],
        "docs": [*VAE, *DOCS],
        "cuda12": ["cupy-cuda12x[ctk]>=14"],
        "cuda13": ["cupy-cuda13x[ctk]>=14"],
        "kernels": ["cuda-bindings==13.5.0", "nvidia-cuda-nvrtc==13.5.37"],  # for tests of CUDA kernels without a GPU
        "mpi": MPI,
        "bfloat16": BFLOAT16,  # a dtype for NumPy
        "omniglot": OMNIGLOT,  # only for Burda's chardata.mat, a MATLAB file
        "bench": ["torch>=2.2", "autograd>=1.7", "jax>=0.6", "mygrad>=2.3", *VAE],
    },
)
