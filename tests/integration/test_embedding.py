"""Tables sharded over real Horovod processes train as plain tables in one process do."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from esmm_dist.distributed.world import SoloWorld
from tests.factories.random_batches import FEATURES, batches_of_rank
from tests.integration.embedding_ranks import NUM_STEPS, SCALE, VARIANTS, make_tables
from tests.integration.horovodrun import ROOT, horovodrun
from tests.oracles.tables import PlainTables, rows_by_table

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module", params=[2, 3])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, Path]:
    """The number of ranks and where each left its losses and its shard."""
    folder = tmp_path_factory.mktemp("embedding")
    done = horovodrun(request.param, ROOT / "tests/integration/embedding_ranks.py", folder)
    assert done.returncode == 0, done.stdout
    return request.param, folder


@pytest.mark.parametrize("name", VARIANTS)
def test_tables_of_several_ranks_train_as_plain_ones(
    trained: tuple[int, Path], name: str
) -> None:
    num_ranks, folder = trained
    variant = VARIANTS[name]
    optimizer = variant.optimizer
    whole = make_tables(SoloWorld(), variant)
    plain = PlainTables(
        FEATURES, rows_by_table(whole.state()["rows"], whole.space), optimizer.name,
        optimizer.learning_rate, optimizer.weight_decay,
    )
    losses = []
    for batches in zip(*(batches_of_rank(rank, NUM_STEPS) for rank in range(num_ranks))):
        loss = torch.stack([plain.vectors(batch).sin().sum() for batch in batches]).sum()
        losses.append(loss.item())
        if loss.requires_grad:
            loss.backward()
        plain.step(batches, SCALE)

    for rank in range(num_ranks):
        report = json.loads((folder / f"{name}-{rank}.json").read_text())
        torch.testing.assert_close(
            torch.tensor(report["losses"], dtype=torch.float64),
            torch.tensor(losses, dtype=torch.float64),
            rtol=variant.relative_error, atol=variant.absolute_error,
        )
        shard = load_file(folder / f"{name}-{rank}.safetensors")
        whole.load_buckets(report["first_bucket"], shard, whole.space)
    for table, rows in rows_by_table(whole.state()["rows"], whole.space).items():
        expected = plain.tables[table].weight.detach()
        torch.testing.assert_close(
            rows, expected, rtol=variant.relative_error, atol=variant.absolute_error
        )


def test_what_travels_as_float16_is_rounded(trained: tuple[int, Path]) -> None:
    """Else the option had done nothing, and its nearness would prove nothing."""
    _, folder = trained
    exact, rounded = (load_file(folder / f"{name}-0.safetensors")["rows"]
                      for name in ("sgd", "sgd, float16"))
    assert not torch.equal(exact, rounded)
