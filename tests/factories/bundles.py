"""Small bundles written without a model, for tests of what is done with bundles."""

from pathlib import Path
from typing import Any

from esmm_dist.contract import bundle as form
from esmm_dist.contract.bundle import BundleIndex, Part
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.config import dump_config, parse_config
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import fingerprint
from esmm_dist.contract.scored_sample import ScoredSample
from esmm_dist.contract.sections import Config
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.store import BundleStore
from tests.factories.written_samples import small_document

DAY = DayRange.model_validate({"first": "2024-01-01", "last": "2024-01-02"})
METRICS = '{"pooled": {"model": {"ctr_auc": {"value": %s}, "ctcvr_pcoc": {"value": null}}}}'


def bundle_config(folder: Path, **changes: Any) -> Config:
    """A config with a vocabulary of places; `changes` are of its train section."""
    document = small_document(folder)
    document["features"].append({
        "name": "place", "group": "context", "kind": "categorical", "encode": {"min_count": 1},
    })
    document["train"] |= changes
    return parse_config(document, "small")


def add_bundle(
    store: BundleStore, config: Config, encodings: Encodings, weights: bytes = b"weights",
    ctr_auc: float = 0.7, parent: str | None = None,
) -> Bundle:
    """Puts a bundle with these parts into the store."""
    def write(folder: Path) -> None:
        texts = {
            form.CONFIG: dump_config(config), form.ENCODINGS: encodings.model_dump_json(),
            form.CALIBRATION: Calibration().model_dump_json(), form.METRICS: METRICS % ctr_auc,
            form.CARD: "# small", form.SAMPLE: ScoredSample(rows=()).model_dump_json(),
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / form.MODEL).mkdir()
        (folder / form.MODEL / "index.json").write_text("{}", encoding="utf-8")
        (folder / form.MODEL / "tables.safetensors").write_bytes(weights)

    def index_of(parts: tuple[Part, ...]) -> BundleIndex:
        return BundleIndex(
            run="small", method="esmm", fingerprint=fingerprint(config.features),
            encodings=encodings.content_hash, train_days=DAY, test_days=DAY, manifest=1,
            parent=parent, parts=parts,
        )

    return store.add(write, index_of)


def places(*keys: str, ancestry: tuple[str, ...] = ()) -> Encodings:
    """Encodings whose one vocabulary has these keys."""
    return Encodings(vocabularies={"place": keys}, ancestry=ancestry)
