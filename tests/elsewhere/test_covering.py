"""The cases that the fast tests take of a large product cover each pair of values."""

from itertools import combinations, product

from covering import covering
from hypothesis import given, settings
from hypothesis import strategies as st


def pairs(cases):
    return {pair for case in cases for pair in combinations(sorted(case.items()), 2)}


def cases_of(sizes, keep=lambda case: True):
    axes = [[(f"axis{i}", f"value{j}") for j in range(size)] for i, size in enumerate(sizes)]
    return [case for case in map(dict, product(*axes)) if keep(case)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 9))
def test_each_pair_of_values_is_covered(sizes, seed):
    cases = cases_of(sizes)
    kept = covering(cases, seed)
    assert pairs(cases[k] for k in kept) == pairs(cases)
    assert kept == covering(cases, seed) == sorted(set(kept))


def test_a_covering_is_a_small_part_of_the_product():
    cases = cases_of([13, 2, 9, 2])
    assert len(cases) == 468
    assert 117 <= len(covering(cases)) <= 140  # 13 x 9 pairs need 117


def test_cases_that_are_not_a_product_are_covered():
    cases = cases_of([5, 4, 3], keep=lambda case: case["axis0"][-1] != case["axis1"][-1])
    assert pairs(cases[k] for k in covering(cases)) == pairs(cases)


def test_all_values_of_one_parameter_are_taken():
    assert covering(cases_of([7])) == list(range(7))
    assert covering([]) == []
