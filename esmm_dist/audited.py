"""What an audit looks at: worlds and how long is trained in each, or the real logs, each with the
methods that are trained there.

It trains nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.sections import Config
from esmm_dist.evaluation.audit_document import AS_DECLARED, LENGTH
from esmm_dist.scenarios import scenario_config

ALWAYS = ("esmm", "base", "aman")
"""What is audited, and the two poles: clicks alone, and every un-clicked row as a negative."""
KEY_OF = {"ctr": "rates.ctr"}
OF_LENGTH = ("esmm", "base")
"""What is trained for longer or shorter: whether the two differ by their loss or by their steps."""
TO_FILE = str.maketrans(" =", "-_")


@dataclass(frozen=True)
class Scenario:
    """One world as often as it is drawn, or the real logs as often as they are trained on."""

    name: str
    settings: Mapping[str, float]
    replicates: tuple[Config, ...]
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    tenths_by: str
    """The scenario whose CTR network tells the tenths: another where the rows are the same."""

    @property
    def has_own_rows(self) -> bool:
        """Whether it has logs and samples that no other scenario has."""
        return self.tenths_by == self.name


def scenarios_of(
    config: Config, folder: Path
) -> tuple[list[Scenario], dict[str, tuple[str, ...]]]:
    """The worlds, as declared first; and by key that is varied their names in order of levels."""
    seeds = tuple(range(config.train.seed, config.train.seed + config.audit.num_replicates))
    methods = tuple(dict.fromkeys((*ALWAYS, *config.audit.methods)))
    if config.simulate is None:
        logs = Scenario(config.name, {}, (config,) * len(seeds), seeds, methods, config.name)
        return [logs], {}
    declared = settings_of(config)
    first = _simulated(config, folder, AS_DECLARED, {}, seeds, methods)
    scenarios = {AS_DECLARED: first}
    of_varied = config.audit.methods_where_varied
    if of_varied is not None:
        methods = tuple(dict.fromkeys((*ALWAYS, *of_varied)))
    names: dict[str, dict[float, str]] = {}
    for key, level in config.audit.vary.levels():
        of_key = names.setdefault(key, {declared[key]: AS_DECLARED})
        if level not in of_key:
            of_key[level] = name = f"{key}={level:g}"
            scenarios[name] = (
                _of_length(first, folder, name, int(level)) if key == LENGTH else
                _simulated(config, folder, name, {KEY_OF.get(key, key): level}, seeds, methods))
    varied = {key: tuple(of_key[level] for level in sorted(of_key))
              for key, of_key in names.items()}
    return list(scenarios.values()), varied


def settings_of(config: Config) -> dict[str, float]:
    """What tells one scenario from another."""
    simulation = config.simulate
    assert simulation is not None
    return {"ctr": simulation.rates.ctr, "selection": simulation.selection,
            "sharing": simulation.sharing, "confounding": simulation.confounding,
            LENGTH: config.train.num_epochs}


def _simulated(
    config: Config, folder: Path, name: str, changes: Mapping[str, float], seeds: Sequence[int],
    methods: Sequence[str],
) -> Scenario:
    simulation = config.simulate
    assert simulation is not None
    replicates = tuple(
        scenario_config(config, folder / f"{name.translate(TO_FILE)}-{number}",
                        simulation.seed + number - 1, changes)
        for number in range(1, len(seeds) + 1)
    )
    return Scenario(name, settings_of(replicates[0]), replicates, tuple(seeds), tuple(methods),
                    name)


def _of_length(first: Scenario, folder: Path, name: str, num_epochs: int) -> Scenario:
    """The worlds of the first scenario, learned from for another number of epochs."""
    replicates = []
    for number, of_one in enumerate(first.replicates, start=1):
        document = of_one.model_dump(mode="json")
        document["train"]["num_epochs"] = num_epochs
        document["runs_path"] = str(folder / f"{name.translate(TO_FILE)}-{number}" / "runs")
        replicates.append(parse_config(document, name))
    return Scenario(name, settings_of(replicates[0]), tuple(replicates), first.seeds, OF_LENGTH,
                    first.name)
