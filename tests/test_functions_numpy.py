"""Values: every sample of every function against NumPy, or against its definition written down plainly in float64."""

import numpy as np
import pytest
from definitions import DEFINITIONS
from samples import ALL, SAMPLES

from tinynet.tensor import Tensor

RANDOM = {"dropout"}  # see test_functions_stability.py


def reference(name):
    return DEFINITIONS.get(name) or getattr(np, name)


@pytest.mark.parametrize("sample", [s for s in ALL if s.name not in RANDOM], ids=str)
def test_value_is_that_of_numpy(sample):
    with np.errstate(all="ignore"):
        expected = sample.run(reference(sample.name))
    found = sample.ours()
    if not isinstance(expected, (list, tuple)):
        expected, found = [expected], [found]
    assert len(found) == len(expected)
    for y, e in zip(found, expected, strict=True):
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(y.numpy(), e, rtol=1e-12, atol=1e-14, strict=False)
        assert y.shape == np.shape(e)
        kinds = {y.dtype.kind, np.asarray(e).dtype.kind}
        assert len(kinds) == 1, f"{y.dtype} where NumPy has {np.asarray(e).dtype}"


def test_no_reference_is_left_over():
    assert set(DEFINITIONS) | RANDOM <= set(SAMPLES)
