"""minigrad/ops/covariance.py: every option as in NumPy, and derivatives of invariants."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host


@pytest.mark.parametrize("fweights", [None, np.array([1, 3, 2, 1])], ids=["", "counts"])
@pytest.mark.parametrize("aweights", [None, np.array([0.5, 1, 2, 1])], ids=["", "weights"])
@pytest.mark.parametrize("options", [{}, {"bias": True}, {"ddof": 0}, {"ddof": 2}])
def test_weighted_covariances_as_in_numpy(fweights, aweights, options, on_device):
    x, weights = normal((3, 4)), {"fweights": fweights, "aweights": aweights}
    assert_close(to_host(mg.cov(on_device(x), **on_device(weights), **options)), np.cov(x, **weights, **options))


@pytest.mark.parametrize("rowvar", [True, False])
def test_variables_in_rows_or_columns(rowvar, on_device):
    for x, y in [((3, 4), None), ((4,), None), ((4,), (4,)), ((4, 4), (4,)), ((1, 4), None)]:
        x, y = normal(x), None if y is None else 2 * normal(y)
        if x.shape == (1, 4) and not rowvar:
            continue  # one observation
        found = mg.cov(on_device(x), None if y is None else on_device(y), rowvar)
        assert_close(to_host(found), np.cov(x, y, rowvar))


def test_correlations_do_not_change_with_the_scale_of_a_variable(on_device):
    """So the derivative along x itself, row by row, is 0; and that of the diagonal is 0 in every direction."""
    x = on_device(normal((3, 5)))
    assert_close(to_host(mg.corrcoef(x)), np.corrcoef(to_host(x)))
    rows = on_device(np.array([[2.0], [0.0], [-1.0]]))
    assert np.max(np.abs(to_host(mg.jvp(mg.corrcoef, (x,), (rows * x,))[1]))) < 1e-15
    assert np.max(np.abs(to_host(mg.grad(lambda x: mg.sum(mg.diag(mg.corrcoef(x))))(x)))) < 1e-15
    assert to_host(mg.corrcoef(x[0])) == 1


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"cov: needs arrays of at most 2 dimensions, got float64\[1, 2, 3\]"):
        mg.cov(np.ones((1, 2, 3)))
    with pytest.raises(ValueError, match="fweights needs one number for each of 3 observations"):
        mg.cov(np.ones((2, 3)), fweights=np.ones(2))
