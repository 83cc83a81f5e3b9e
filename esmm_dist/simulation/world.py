"""The world that logs are drawn from: who and what there is, before anything happens.

A function of the config alone. Every worker makes it for itself.
"""

from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.sections import Config
from esmm_dist.contract.simulation import Simulation
from esmm_dist.simulation.delays import Waits, draw_waits
from esmm_dist.simulation.factors import Members, Tastes, draw_members, tastes_of
from esmm_dist.simulation.fields import (
    Column,
    ContextField,
    CrossField,
    context_field,
    cross_field,
    member_column,
)
from esmm_dist.simulation.histories import lists_of_members
from esmm_dist.simulation.identifiers import scattered
from esmm_dist.simulation.streams import Integers, Purpose


@dataclass(frozen=True)
class World:
    """Users, items, fields and laws; M users or items."""

    simulation: Simulation
    days: tuple[date, ...]
    users: Members
    items: Members
    tastes: Tastes
    user_id_M: Integers
    item_id_M: Integers
    user_columns: dict[str, Column]
    item_columns: dict[str, Column]
    contexts: dict[str, ContextField]
    crosses: dict[str, CrossField]
    item_lists: dict[str, pa.ListArray]
    waits: Waits
    delay_place_M: Integers | None
    """Every item's value of the field that delays depend on, if that is a field of items."""


def simulation_of(config: Config, source: str) -> Simulation:
    """The config's world.

    Raises:
        InputError: there is none, or the logs cannot be written as declared.
    """
    if config.simulate is None:
        raise InputError(f"{source}: there is no section `simulate`: add one, or give a config "
                         "that has one, such as conf/ali_ccp_like.yaml")
    for log in ("impressions", "clicks", "conversions"):
        declared = getattr(config.logs, log)
        if declared.path is None or any(m in declared.path for m in ("*", "?", "[", "://")):
            raise InputError(f"logs.{log}.path = {declared.path!r}: simulated logs go to a "
                             "directory: give a plain path")
        if declared.format != "parquet" or declared.partition is None:
            raise InputError(f"logs.{log}: simulated logs are Parquet in folders by day: declare "
                             "no other format, and a partition such as dt")
    return config.simulate


def make_world(config: Config, simulation: Simulation) -> World:
    """Draws the world of a config."""
    users = draw_members(simulation, Purpose.USER_FACTORS)
    items = draw_members(simulation, Purpose.ITEM_FACTORS)
    delay_place_M = None
    columns: dict[str, dict[str, Column]] = {"user": {}, "item": {}}
    for group, members in (("user", users), ("item", items)):
        for field in simulation.of_group(group):
            columns[group][field.name], place_M = member_column(simulation, field, members)
            if field.name == simulation.delays.field:
                delay_place_M = place_M
    return World(
        simulation, days_of(config.samples.days), users, items, tastes_of(simulation, users),
        scattered(simulation.seed, users.popularity.count, 0),
        scattered(simulation.seed, items.popularity.count, 1),
        columns["user"], columns["item"],
        {f.name: context_field(simulation, f) for f in simulation.of_group("context")},
        {f.name: cross_field(simulation, f) for f in simulation.of_group("cross")},
        {f.name: pa.concat_arrays(list(lists_of_members(simulation, f, items)))
         for f in simulation.lists_of("item")},
        draw_waits(config, simulation), delay_place_M,
    )
