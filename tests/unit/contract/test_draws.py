"""The coin of every sample: NumPy and torch toss the same, fairly, and its numbers are pinned."""

import numpy as np
import torch

from esmm_dist.contract.draws import NUM_DRAWS, draws_of_samples

EDGES = np.array([0, 1, -1, 2**62, -(2**62), 2**63 - 1, -(2**63)])


def test_numpy_and_torch_toss_the_same_to_the_last_bit() -> None:
    ids = np.r_[EDGES, np.random.default_rng(0).integers(-2**63, 2**63 - 1, 10_000)]
    for seed, stream in ((0, 0), (2**63 - 1, 7)):
        by_numpy = draws_of_samples(ids, seed, stream)
        by_torch = draws_of_samples(torch.from_numpy(ids), seed, stream)
        assert by_numpy.dtype == np.int64 and by_torch.dtype == torch.int64
        np.testing.assert_array_equal(by_numpy, by_torch.numpy())


def test_the_draws_are_pinned_so_that_a_resumed_run_takes_the_same_rows() -> None:
    assert draws_of_samples(EDGES[:3], 1, 2).tolist() == [
        1486427988578271, 8851515467393828, 2365443282602897
    ]


def test_ids_that_count_up_are_tossed_evenly_and_every_seed_and_stream_anew() -> None:
    ids = np.arange(-50_000, 50_000)
    tosses = [draws_of_samples(ids, seed, stream) / NUM_DRAWS
              for seed, stream in ((0, 0), (0, 1), (1, 0), (1, 1))]
    for toss in tosses:
        # 100,000 of them: a standard error of 95 in each of ten bins
        assert np.abs(np.histogram(toss, 10, (0, 1))[0] - 10_000).max() < 4 * 95
    neighbours = np.corrcoef(tosses[0][:-1], tosses[0][1:])[0, 1]
    others = np.corrcoef(tosses)[np.triu_indices(4, 1)]
    assert max(abs(neighbours), *np.abs(others)) < 4 / np.sqrt(100_000)
