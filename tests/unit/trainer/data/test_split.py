"""How rows are divided: by hash or at random, whole groups, and stable when rows are added."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_api.contract.data_settings import SplitSettings
from tuneloop_trainer.data.row_table import TEST, TRAIN, VALIDATION
from tuneloop_trainer.data.steps.split import divide
from tuneloop_trainer.data.text_key import text_key


@pytest.mark.parametrize("place", [TEST, VALIDATION])
def test_a_row_at_the_very_edge_of_a_hash_split_goes_to_the_next_split(place):
    key = text_key("a film")
    value = xxhash.xxh3_64_intdigest(key, seed=5) / 2.0**64
    keys = np.frombuffer(key, dtype="V16")
    fractions = {TEST: value} if place == TEST else {VALIDATION: value, TEST: 0.0}
    for share, expected in ((value, TRAIN), (np.nextafter(value, 1.0), place)):
        found = divide(
            keys=keys,
            strata=np.zeros(1, np.int32),
            fractions={**fractions, place: share},
            settings=SplitSettings(seed=5),
        )
        assert found.tolist() == [expected]


@settings(max_examples=50, deadline=None)
@given(old=st.sets(st.text(max_size=6), min_size=1), new=st.sets(st.text(max_size=6)), seed=st.integers(0, 99))
def test_a_hash_split_never_moves_a_row_when_rows_are_added(old, new, seed):
    def split(texts: list[str]) -> dict[bytes, int]:
        keys = np.frombuffer(b"".join(text_key(text) for text in texts), dtype="V16")
        settings = SplitSettings(method="hash", seed=seed)
        found = divide(
            keys=keys, strata=np.zeros(len(texts), np.int32), fractions={VALIDATION: 0.3, TEST: 0.3}, settings=settings
        )
        return dict(zip((key.tobytes() for key in keys), found.tolist(), strict=True))

    before, after = split(sorted(old)), split(sorted(old | new, reverse=True))
    assert before == {key: after[key] for key in before}


@pytest.mark.parametrize("method", ["hash", "random"])
@settings(max_examples=40, deadline=None)
@given(groups=st.lists(st.integers(0, 12), min_size=1, max_size=60), seed=st.integers(0, 99))
def test_rows_of_one_group_stay_in_one_split(method, groups, seed):
    keys = np.frombuffer(b"".join(text_key(str(group)) for group in groups), dtype="V16")
    strata = np.arange(len(groups), dtype=np.int32) % 2
    found = divide(
        keys=keys, strata=strata, fractions={VALIDATION: 0.2, TEST: 0.2},
        settings=SplitSettings(method=method, group_by="g", seed=seed),
    )  # fmt: skip
    assert all(
        len({split for split, other in zip(found, groups, strict=True) if other == group}) == 1 for group in groups
    )


@pytest.mark.parametrize(
    ("settings", "strata", "counts", "digest"),
    [
        pytest.param(SplitSettings(method="hash", seed=3), 1, [141, 42, 17], "6371d7773f8f90d4", id="by hash"),
        pytest.param(SplitSettings(method="random", seed=3), 1, [141, 39, 20], "0bca1cbf740d94b8", id="at random"),
        pytest.param(
            SplitSettings(method="random", seed=3), 5, [142, 39, 19], "d84d10f81d55eb2e", id="at random, by class"
        ),
        pytest.param(
            SplitSettings(method="random", seed=4, group_by="g"),
            1,
            [141, 39, 20],
            "2ce50b97da7ed809",
            id="another seed",
        ),
    ],
)
def test_the_same_settings_divide_as_release_0_1_0_did(settings, strata, counts, digest):
    """The figures are of its code. A prepared data set is found again by its settings: another division under the same name would mix test rows into training."""
    keys = np.frombuffer(b"".join(text_key(str(number % 150)) for number in range(200)), dtype="V16")
    classes = (np.arange(200, dtype=np.int32) % 150) % strata
    found = divide(keys=keys, strata=classes, fractions={VALIDATION: 0.2, TEST: 0.1}, settings=settings)
    assert np.bincount(found, minlength=3).tolist() == counts
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == digest
