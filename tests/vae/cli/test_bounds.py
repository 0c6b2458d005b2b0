"""vae/cli/bounds.py: what evaluate says of scores. Their values are tested in test_evaluate.py."""

import numpy as np
import pytest

from tests.support.vae import truth
from vae.cli import bounds
from vae.cli.bounds import IMPORTANCE, Score, require_draws, summarise, to_record
from vae.errors import UserError
from vae.evaluation import Estimate

DATA = truth.small_data()


def test_scores_are_means_over_draws_with_the_error_over_images():
    found = summarise({"x": np.array([[1.0, 2.0, 6.0]]), "y": np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 5.0]])})
    assert found["x"] == ((3.0, pytest.approx(np.sqrt(7 / 3))), None)
    assert found["y"].estimate.mean == pytest.approx(3.5) and found["y"].spread == pytest.approx(np.sqrt(0.5))
    assert list(to_record(found)) == ["x", "x_standard_error", "y", "y_standard_error", "y_spread_of_draws"]


def test_lines_say_what_the_numbers_are_of():
    one, several = ({f"{IMPORTANCE}{k}": Score(Estimate(1.0, 0.1), None) for k in ks} for ks in ((5,), (5, 10)))
    assert bounds.describe(DATA, "none", 1, one) == [
        "±: one standard error over images; the ELBO is that of one sample for each"
    ]
    binarised, error, groups = bounds.describe(DATA, "dynamic", 3, several)
    assert binarised.endswith("at random, 3 times") and "of their means over draws;" in error and "disjoint" in groups
    assert bounds.describe(DATA, "static", 1, one)[0].endswith("once, as in training")


def test_only_dynamic_draws_of_grey_images_can_be_several():
    require_draws(2, "dynamic", False)
    require_draws(1, "none", True)
    for how, binary in (("none", False), ("static", False), ("dynamic", True)):
        with pytest.raises(UserError, match="nothing to draw"):
            require_draws(2, how, binary)
