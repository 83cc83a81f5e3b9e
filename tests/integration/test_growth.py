"""A checkpoint under encodings that appended to its own: old ids predict as before."""

from pathlib import Path

import pytest
import torch

from esmm_dist.assembly import assemble, identity_of, load_predictor
from esmm_dist.contract.batch import Batch
from esmm_dist.contract.config import parse_config
from esmm_dist.contract.encodings import Encodings, num_rows_of_table
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import ENCODINGS
from esmm_dist.contract.sections import Config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.training.checkpoint import Index, write_checkpoint
from esmm_dist.training.tower_optimizer import make_tower_optimizer, tower_tensors
from tests.factories.written_samples import small_document

CPU = torch.device("cpu")
BEFORE = Encodings(vocabularies={"user_id": tuple("abc"), "item_id": tuple("xyz")})
LATER = Encodings(vocabularies={
    "user_id": ("d", *map(str, range(2000))), "item_id": tuple("zyx"),
})


def batch_of(users: list[int]) -> Batch:
    num_rows = len(users)
    return Batch(
        torch.tensor([[user, 2 + n % 3] for n, user in enumerate(users)], dtype=torch.int32), (),
        *(torch.zeros(num_rows) for _ in range(5)),
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    document = small_document(tmp_path)
    document["features"] = [
        {"name": name, "group": "user", "kind": "categorical", "encode": {"min_count": 1}}
        for name in ("user_id", "item_id")
    ]
    return parse_config(document, "growth")


@pytest.fixture
def checkpoint(tmp_path: Path, config: Config) -> Path:
    assembly = assemble(config, BEFORE, SoloWorld(), CPU, for_training=True)
    optimizer = make_tower_optimizer(assembly.model, config.train.towers)
    return write_checkpoint(
        tmp_path / "checkpoints", towers=tower_tensors(assembly.model, optimizer),
        tables=assembly.tables.state(), buckets=assembly.tables.buckets,
        index=Index(
            identity=identity_of(config, BEFORE), step=1, num_steps=1, manifest=1, course="",
            num_ranks=1, num_lanes=1, num_rows_of_table=num_rows_of_table(config.features, BEFORE),
        ),
        world=SoloWorld(), num_kept=1,
    )


def test_old_ids_predict_as_before_and_new_ones_have_rows(checkpoint: Path, config: Config) -> None:
    grown = BEFORE.appended(LATER)
    assert grown.vocabularies["item_id"] == tuple("xyz")
    known = batch_of([0, 1, 2, 3, 4])
    before, after = (
        load_predictor(checkpoint, config, encodings, SoloWorld(), CPU)
        for encodings in (BEFORE, grown)
    )
    for name in ("ctr_logit_B", "cvr_logit_B"):
        old, new, of_new_ids = (
            getattr(predict(batch), name)
            for predict, batch in ((before, known), (after, known), (after, batch_of([2005, 2004])))
        )
        assert torch.equal(old, new) and torch.isfinite(of_new_ids).all()
    with pytest.raises(InputError, match="the id 2,005, its table 'user_id' has 5 rows"):
        before(batch_of([2005]))


def test_encodings_learned_anew_are_refused(checkpoint: Path, config: Config) -> None:
    anew = LATER.appended(BEFORE)
    with pytest.raises(InputError, match="its encodings is .*, the config's is [0-9a-f]+: give"):
        load_predictor(checkpoint, config, anew, SoloWorld(), CPU)
    path = Path(config.samples.path) / ENCODINGS / f"{BEFORE.content_hash}.json"
    path.parent.mkdir(parents=True)
    path.write_text(BEFORE.model_dump_json())
    with pytest.raises(InputError, match=r"\(.*user_id has as entry 1 of 3 'a' in the one, and of "
                                         r"2,004 'd' in the other\): give"):
        load_predictor(checkpoint, config, anew, SoloWorld(), CPU)
