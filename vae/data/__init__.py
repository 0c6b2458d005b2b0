"""Images to train on: built in, downloaded, or the user's own. See `load`."""

from .catalogue import NAMES, load
from .dataset import DataError, Dataset
from .split import digests, drop_trained

__all__ = ["NAMES", "DataError", "Dataset", "digests", "drop_trained", "load"]
