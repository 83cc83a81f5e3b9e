"""A simulation on disk: the same whoever writes it, whole or resumed, and nobody else's folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.simulation import intercepts
from esmm_dist.simulation.parts import BLOCKS_OF_PART, Part, day_starts, parts_of
from esmm_dist.simulation.run import PartWriter, Simulated, simulate
from tests.factories.simulated_logs import (
    ALL_DIRT,
    NUM_CALIBRATION_ROWS,
    declared,
    read_log,
    read_truth,
    simulation_config,
)

DAY = 86_400_000_000


@pytest.fixture(autouse=True)
def quick_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = intercepts.solve_intercepts
    monkeypatch.setattr("esmm_dist.simulation.run.solve_intercepts",
                        lambda world: solve(world, NUM_CALIBRATION_ROWS))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks and parts a day."""
    for module in ("outcomes", "parts", "dirt"):
        monkeypatch.setattr(f"esmm_dist.simulation.{module}.BLOCK_ROWS", 512)


def written(config: Config, *, replace: bool = False, backwards: bool = False,
            only: int | None = None) -> Simulated:
    """Writes parts in this process, in either order, or only the first ones."""

    def write_parts(write: PartWriter, parts: Sequence[Part]) -> None:
        for part in list(reversed(parts))[:only] if backwards else parts[:only]:
            write(part)
        if only is not None and only < len(parts):
            raise KeyboardInterrupt

    return simulate(config, "test", write_parts, replace=replace)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*.parquet"))}


def config_of(folder: Path, **simulate: Any) -> Config:
    return simulation_config(folder, **{"dirt": ALL_DIRT, **simulate})


@pytest.mark.usefixtures("small_blocks")
def test_the_order_of_parts_changes_no_byte(tmp_path: Path) -> None:
    written(config_of(tmp_path / "a"))
    written(config_of(tmp_path / "b"), backwards=True)
    files = files_of(tmp_path / "a")
    assert len([name for name in files if "truth" in name]) == 4
    assert files == files_of(tmp_path / "b")


def test_another_seed_draws_other_logs(tmp_path: Path) -> None:
    written(config_of(tmp_path / "a"))
    written(config_of(tmp_path / "b", seed=8))
    one, other = (set(read_log(tmp_path / name / "impressions")["impression_id"].to_pylist())
                  for name in ("a", "b"))
    assert len(one & other) <= 1  # the null


@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_simulation_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    config = config_of(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        written(config, only=1)
    record = json.loads((tmp_path / "a" / "simulated" / "simulation.json").read_text())
    assert record["is_complete"] is False
    first = next((tmp_path / "a" / "simulated" / "truth").rglob("*.parquet"))
    before = first.stat().st_mtime_ns
    simulated = written(config)
    assert first.stat().st_mtime_ns == before
    assert json.loads(simulated.record_path.read_text())["is_complete"] is True
    written(config_of(tmp_path / "b"))
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_a_part_that_another_simulation_left_is_not_taken_for_its_own(tmp_path: Path) -> None:
    written(config_of(tmp_path / "other", seed=8))
    config = config_of(tmp_path / "a")
    written(config)
    before = files_of(tmp_path / "a")
    name = next(name for name in before if "truth" in name)
    (tmp_path / "a" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    written(config)
    assert files_of(tmp_path / "a") == before


def test_a_folder_with_other_files_is_refused_and_stays(tmp_path: Path) -> None:
    precious = tmp_path / "clicks" / "dt=2020-01-01" / "0.parquet"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"precious")
    for replace in (False, True):
        with pytest.raises(InputError, match="clicks: it holds files that .* knows nothing of"):
            written(config_of(tmp_path), replace=replace)
    assert precious.read_bytes() == b"precious" and not (tmp_path / "impressions").exists()


def test_another_simulation_is_replaced_only_when_told(tmp_path: Path) -> None:
    written(config_of(tmp_path))
    before = files_of(tmp_path)
    with pytest.raises(InputError, match="it holds another simulation: give --replace"):
        written(config_of(tmp_path, seed=8))
    assert files_of(tmp_path) == before
    written(config_of(tmp_path, seed=8), replace=True)
    after = files_of(tmp_path)
    assert all(after[name] != before[name] for name in before if "impressions" in name)


def test_the_truth_is_beside_the_logs_and_not_in_them(tmp_path: Path) -> None:
    simulated = written(config_of(tmp_path))
    truth = read_truth(tmp_path / "simulated")
    assert truth.num_rows == 6000
    assert len(set(truth["sample_id"].to_pylist())) == 6000
    for log in ("impressions", "clicks", "conversions"):
        columns = set(read_log(tmp_path / log).column_names)
        assert not columns & (set(truth.column_names) - {"impression_id"})
        assert not {name for name in columns if name.startswith(("p_", "potential"))}
    for day, tally in simulated.tally_of_day.items():
        assert tally["impressions"] == 3000, day


def test_columns_and_types_are_called_as_the_config_says(tmp_path: Path) -> None:
    document = config_of(tmp_path).model_dump(mode="json")
    document["logs"]["impressions"]["columns"] = {"event_time": "shown_at", "shop": "store"}
    document["logs"]["conversions"] |= {"types": ["order"], "columns": {"type": "what"}}
    written(Config.model_validate(document))
    assert {"shown_at", "store"} <= set(read_log(tmp_path / "impressions").column_names)
    assert set(read_log(tmp_path / "conversions")["what"].to_pylist()) == {"order"}


def test_rows_lie_in_the_folder_of_their_day_in_the_declared_zone(tmp_path: Path) -> None:
    config = config_of(tmp_path, dirt={})
    written(config)
    start = day_starts(config, 3)
    assert (start[1:] - start[:-1] == DAY).all()
    rows = read_log(tmp_path / "impressions")
    for day, low, high in (("2026-03-01", *start[:2]), ("2026-03-02", *start[1:])):
        times = [row["event_time"].timestamp() * 1e6 for row in rows.to_pylist()
                 if row["dt"] == day]
        assert len(times) == 3000 and low <= min(times) and max(times) < high


def test_days_of_a_change_of_clocks_are_shorter_and_longer(tmp_path: Path) -> None:
    document = config_of(tmp_path).model_dump(mode="json")
    document["logs"]["day_timezone"] = "America/New_York"
    document["samples"]["days"] = {"first": "2026-03-08", "last": "2026-03-09"}
    start = day_starts(Config.model_validate(document), 2)
    assert start[1] - start[0] == DAY - DAY // 24


def test_parts_cover_every_row_once(tmp_path: Path) -> None:
    config = config_of(tmp_path, impressions_per_day=BLOCKS_OF_PART * 65_536 * 2 + 70_000)
    parts = parts_of(config, declared(config))
    assert len(parts) == 6
    of_day = [block for part in parts if part.day_number == 1 for block in part.blocks()]
    assert [number for number, _ in of_day] == list(range(10))
    assert sum(rows for _, rows in of_day) == BLOCKS_OF_PART * 65_536 * 2 + 70_000


@pytest.mark.parametrize("change, message", [
    ({"simulate": None}, "there is no section `simulate`"),
    ({"logs": {"partition": None}}, "declare no other format, and a partition"),
    ({"logs": {"format": "json"}}, "declare no other format, and a partition"),
    ({"logs": {"path": "logs/*/clicks"}}, "give a plain path"),
])
def test_logs_that_cannot_be_written_are_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    document = config_of(tmp_path).model_dump(mode="json")
    document["logs"]["clicks"] |= change.get("logs", {})
    document |= {"simulate": None} if "simulate" in change else {}
    with pytest.raises(InputError, match=message):
        written(Config.model_validate(document))


def test_logs_without_a_conversion_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the conversions log came out empty"):
        written(config_of(tmp_path, impressions_per_day=5, dirt={},
                          rates={"ctr": 0.01, "cvr": 0.001}))
