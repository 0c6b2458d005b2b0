"""Images to train on: built in, downloaded, or the user's own. See `load`."""

from .catalogue import NAMES, load
from .dataset import DataError, Dataset
from .mapped import place, select
from .split import checksum_of, digests, drop_trained, hold_valid

__all__ = [
    "NAMES",
    "DataError",
    "Dataset",
    "checksum_of",
    "digests",
    "drop_trained",
    "hold_valid",
    "load",
    "place",
    "select",
]
