"""Histograms: one number and many are counted alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.runtime.distribution import SIZES, Distribution


@given(st.lists(st.integers(0, 40_000), max_size=60))
def test_many_numbers_are_counted_as_one_by_one(numbers: list[int]) -> None:
    single, many = Distribution(SIZES), Distribution(SIZES)
    for number in numbers:
        single.add(number)
    many.add_all(np.array(numbers, np.int64))
    assert single.counts == many.counts
    assert single.total == many.total == sum(numbers)
    assert single.count == len(numbers)
    for bound, count in single.cumulative:
        assert count == sum(number <= float(bound) for number in numbers)


@pytest.mark.parametrize(("number", "bucket"), [(1.0, 0), (1.5, 1), (2.0, 1), (3.0, 2)])
def test_a_bound_belongs_to_its_bucket(number: float, bucket: int) -> None:
    found = Distribution((1.0, 2.0))
    found.add(number)
    assert found.counts[bucket] == 1
