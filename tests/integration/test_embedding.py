"""Tables sharded over real Horovod processes train as plain tables in one process do."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from esmm_dist.contract.sections import Optimizer
from esmm_dist.distributed.world import SoloWorld
from tests.factories.random_batches import FEATURES, batches_of_rank
from tests.integration.embedding_ranks import NUM_STEPS, OPTIMIZERS, SCALE, make_tables
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


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)
def test_sharded_tables_train_as_plain_ones(
    trained: tuple[int, Path], optimizer: Optimizer
) -> None:
    num_ranks, folder = trained
    whole = make_tables(SoloWorld(), optimizer)
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
        name = f"{optimizer.name}-{rank}"
        report = json.loads((folder / f"{name}.json").read_text())
        torch.testing.assert_close(
            torch.tensor(report["losses"], dtype=torch.float64),
            torch.tensor(losses, dtype=torch.float64), rtol=1e-12, atol=1e-14,
        )
        shard = load_file(folder / f"{name}.safetensors")
        whole.load_buckets(report["first_bucket"], shard, whole.space)
    for table, rows in rows_by_table(whole.state()["rows"], whole.space).items():
        expected = plain.tables[table].weight.detach()
        torch.testing.assert_close(rows, expected, rtol=1e-12, atol=1e-15)
