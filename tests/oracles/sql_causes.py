"""Half of the build in SQL: which rows take no part, and which impression and click events find.

Causes are all pairs of equal keys inside the window, and the greatest or the least of them.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb

from tests.oracles.log_rows import Rules, start_of

ONE_DAY = timedelta(days=1)
LOGS = ("impressions", "clicks", "conversions")


class Names(NamedTuple):
    """What the columns of the logs are called."""

    keys: tuple[str, ...] = ("visitor", "item")
    content: tuple[str, ...] = ("value", "user_id")
    """Of impressions: all that features and group key are made of."""
    type: str = "type"
    value: str = "revenue"
    id: str = "order_id"


class SqlCauses:
    """The statements, whose tables are left in the base; times are microseconds since 1970."""

    def __init__(
        self, base: duckdb.DuckDBPyConnection, rules: Rules, names: Names
    ) -> None:
        self._base = base
        self._rules = rules
        self._names = names
        self._click, self._conversion, self._skew, self._late = (
            span // timedelta(microseconds=1)
            for span in (
                rules.click_window, rules.conversion_window, rules.max_skew, rules.lateness
            )
        )
        self._conversion_keys = names.keys[: rules.num_conversion_keys]

    def read(self, logs: Path, days: list[date]) -> None:
        """Every row with a number, and of every day when it begins and ends."""
        self._base.execute("CREATE TABLE days (day DATE, begins BIGINT, ends BIGINT)")
        around = [min(days) + n * ONE_DAY for n in range(-60, (max(days) - min(days)).days + 61)]
        for day in around:
            self._base.execute(
                "INSERT INTO days VALUES (?, epoch_us(?::TIMESTAMPTZ), epoch_us(?::TIMESTAMPTZ))",
                [day, *(start_of(d, self._rules.zone) for d in (day, day + ONE_DAY))],
            )
        for log in LOGS:
            self._base.execute(f"""
                CREATE TABLE {log} AS
                SELECT row_number() OVER () AS n, epoch_us(event_time::TIMESTAMPTZ) AS t,
                    dt::DATE AS filed, * EXCLUDE (event_time, dt)
                FROM read_parquet('{logs}/{log}/*/*.parquet', hive_partitioning = true)""")

    def look_up_causes(self) -> None:
        """The reason of each row that takes no part; of the others impression and click."""
        self._base.execute(f"""
            CREATE TABLE live_impressions AS
            SELECT i.*, CASE WHEN impression_id IS NULL THEN 'null_id'
                WHEN t IS NULL THEN 'null_time'
                WHEN t < begins OR t >= ends THEN 'misfiled' END AS reason,
                md5(concat_ws('|', {self._texts(self._names.content)})) AS content
            FROM impressions i JOIN days ON day = filed""")
        span = self._rules.repeat // timedelta(microseconds=1)
        self._base.execute(f"""
            CREATE TABLE again AS
            WITH of_day AS (
                SELECT impression_id, filed, min(t) AS first, max(t) AS last
                FROM live_impressions WHERE reason IS NULL GROUP BY ALL)
            SELECT o.impression_id, o.filed FROM of_day o JOIN of_day b
                ON b.impression_id = o.impression_id AND b.filed = o.filed - 1
            WHERE o.first - b.last <= {span}""")
        self._find_click_reasons()
        self._find_impressions_of_clicks()
        self._find_clicks_of_conversions()

    def _find_click_reasons(self) -> None:
        rules = self._rules
        is_keyed = rules.clicks_by == "keys"
        id_is_null = _any_null(self._names.keys) if is_keyed else "impression_id IS NULL"
        # Its own day, or a later one that begins inside the click window of its own day's end.
        late = self._click + self._late
        in_time = f"own.day <= filed AND (own.day = filed OR f.begins < own.ends + {late})"
        misfiled = f"WHEN NOT ({in_time}) THEN 'misfiled'" if is_keyed else ""
        self._base.execute(f"""
            CREATE TABLE clicks_1 AS
            SELECT c.*, CASE WHEN {id_is_null} THEN 'null_id' WHEN t IS NULL THEN 'null_time'
                {misfiled} END AS reason, NOT ({in_time}) AS is_untimely
            FROM clicks c JOIN days f ON f.day = filed
            LEFT JOIN days own ON t >= own.begins AND t < own.ends""")
        target = ", ".join(self._names.keys if is_keyed else ["impression_id"])
        most, seconds = rules.bots or (0, 1)
        bot = "false" if rules.bots is None else f"""
            reason IS NULL AND {self._names.keys[0]} IS NOT NULL
            AND count(DISTINCT (t, {target})) OVER (
                PARTITION BY reason IS NULL, filed, {self._names.keys[0]},
                floor(t / {seconds * 1_000_000}::DOUBLE)) > {most}"""
        self._base.execute(f"""
            CREATE TABLE clicks_2 AS SELECT * REPLACE (
                CASE WHEN {bot} THEN 'of_bots' ELSE reason END AS reason) FROM clicks_1""")
        self._find_double_clicks(target)

    def _find_double_clicks(self, target: str) -> None:
        """Of a burst the first and the last stay, which notes when the first was; those between
        leave their ids to the one that the credit prefers, and else to the other: as namesakes."""
        rules = self._rules
        tie = ["click_id"] if rules.conversions_by == "click_id" else list(self._names.keys)
        order = ", ".join(f"{name} NULLS FIRST" for name in ["t", *tie])
        gap = (rules.double_click or timedelta(microseconds=-1)) // timedelta(microseconds=1)
        one = f"(PARTITION BY reason IS NULL, filed, {target} ORDER BY {order}"
        before = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        after = "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"
        begin, end = (1, 2) if rules.is_first else (2, 1)
        aside = "is_middle, is_last, begins_t, ends_t"
        self._base.execute(f"""
            CREATE TABLE bursts AS SELECT * EXCLUDE (follows, is_followed),
                follows AND NOT is_followed AND t > begins_t AS is_last,
                follows AND (is_followed OR t = begins_t) AS is_middle
            FROM (SELECT *, last_value(CASE WHEN NOT follows THEN t END IGNORE NULLS)
                      OVER {one} {before}) AS begins_t,
                  first_value(CASE WHEN NOT is_followed THEN t END IGNORE NULLS)
                      OVER {one} {after}) AS ends_t
                  FROM (SELECT *,
                        reason IS NULL AND coalesce(t - lag(t) OVER {one}) <= {gap}, false)
                            AS follows,
                        reason IS NULL AND coalesce(lead(t) OVER {one}) - t <= {gap}, false)
                            AS is_followed FROM clicks_2));
            CREATE TABLE clicks_3 AS
            SELECT * EXCLUDE ({aside})
                REPLACE (CASE WHEN is_middle THEN 'double' ELSE reason END AS reason),
                CASE WHEN is_last THEN begins_t ELSE t END AS name_t, 0 AS choice
            FROM bursts
            UNION ALL SELECT * EXCLUDE ({aside})
                REPLACE (-2 * n AS n, begins_t AS t), begins_t, {begin} FROM bursts WHERE is_middle
            UNION ALL SELECT * EXCLUDE ({aside})
                REPLACE (-2 * n - 1 AS n, ends_t AS t), begins_t, {end} FROM bursts
                WHERE is_middle""")

    def _find_impressions_of_clicks(self) -> None:
        if self._rules.clicks_by != "keys":
            self._base.execute(
                "CREATE TABLE live_clicks AS SELECT *, NULL::DATE AS impression_day FROM clicks_3"
            )
            return
        keys, null = ", ".join(self._names.keys), _any_null(self._names.keys)
        self._base.execute(f"""
            CREATE TABLE candidates AS SELECT *, filed AS impression_day FROM live_impressions
            ANTI JOIN again USING (impression_id, filed)
            WHERE reason IS NULL
            QUALIFY t = min(t) OVER (PARTITION BY filed, impression_id) AND NOT ({null})
                AND row_number() OVER (
                    PARTITION BY filed, impression_id ORDER BY t, {null}, {keys}) = 1""")
        looked_up = self._cause_of(
            "clicks_3", "(SELECT *, t AS name_t FROM candidates)", self._click, self._names.keys,
            "{'id': c.impression_id}"
        )
        self._base.execute(f"""
            CREATE TABLE live_clicks AS
            SELECT c.* REPLACE (cause.id AS impression_id), cause.day AS impression_day
            FROM clicks_3 c LEFT JOIN ({looked_up}) USING (n)
            WHERE choice = 0 OR cause.id IS NOT NULL""")

    def _find_clicks_of_conversions(self) -> None:
        rules = self._rules
        id_is_null = _any_null(self._conversion_keys) if rules.conversions_by == "keys" else (
            f"{rules.conversions_by} IS NULL"
        )
        kinds = ", ".join(f"'{kind}'" for kind in rules.types)
        is_other = f"coalesce({self._names.type} NOT IN ({kinds}), true)" if kinds else "false"
        misfiled = "WHEN t >= ends THEN 'misfiled'" if rules.conversions_by == "keys" else ""
        value = f"{self._names.value}::DOUBLE" if rules.has_value else "NULL::DOUBLE"
        self._base.execute(f"""
            CREATE TABLE conversions_1 AS
            SELECT v.* EXCLUDE (day), CASE WHEN {is_other} THEN 'other_type'
                WHEN {id_is_null} THEN 'null_id' WHEN t IS NULL THEN 'null_time' {misfiled}
                END AS reason, {value} AS worth,
                {self._names.type if kinds else "''"} AS kind, NULL::BIGINT AS click_t,
                NULL::DATE AS impression_day
            FROM (FROM conversions JOIN days ON day = filed) v""")
        self._find_repeated_conversions()
        if rules.conversions_by != "keys":
            self._base.execute("CREATE TABLE live_conversions AS FROM conversions_2")
            return
        # What a click itself says of its impression.
        own = ", ".join(f"'{key}': c.{key}" for key in self._names.keys)
        if rules.clicks_by != "keys":
            own = "'has': c.impression_id IS NOT NULL, 'id': c.impression_id"
        looked_up = self._cause_of(
            "conversions_2", "(FROM live_clicks WHERE NOT is_untimely)", self._conversion,
            self._conversion_keys, f"{{{own}}}",
        )
        self._base.execute(f"""
            CREATE TABLE live_conversions AS
            SELECT v.* REPLACE (cause.id AS impression_id, cause.name_t AS click_t,
                cause.day AS impression_day)
            FROM conversions_2 v LEFT JOIN ({looked_up}) USING (n)""")

    def _find_repeated_conversions(self) -> None:
        """Of the rows of one id all but the first, each by the one before it."""
        rules, own = self._rules, self._names.id
        longest = max(
            rules.conversion_repeat // timedelta(microseconds=1),
            self._click + self._conversion + self._late + 2 * self._skew,
        )
        by_keys = rules.conversions_by == "keys"
        cause = ", ".join(self._conversion_keys if by_keys else [rules.conversions_by])
        one = f"""(PARTITION BY reason IS NULL, {own}
            ORDER BY filed, t, worth DESC NULLS LAST, {cause})"""
        says = f"(t, coalesce(worth::VARCHAR, 'unknown'), {cause})"
        again = f"""reason IS NULL AND {own} IS NOT NULL
            AND coalesce(lag(ends) OVER {one} > begins - {longest}, false)"""
        self._base.execute(f"""
            CREATE TABLE conversions_2 AS
            SELECT * EXCLUDE (begins, ends) REPLACE (CASE WHEN NOT ({again}) THEN reason
                WHEN lag({says}) OVER {one} = {says} THEN 'repeated' ELSE 'conflicting' END
                AS reason) FROM conversions_1""" if rules.has_ids else """
            CREATE TABLE conversions_2 AS
            SELECT * EXCLUDE (begins, ends) FROM conversions_1""")

    def _cause_of(
        self, effects: str, causes: str, window: int, keys: tuple[str, ...], tie: str
    ) -> str:
        """Of all causes of equal keys in whose window an effect lies the last or the first, at one
        instant by a struct of the cause's own."""
        equal = " AND ".join(f"e.{key} = c.{key}" for key in keys)
        place = f"""{{'t': c.t, 'tie': {tie}, 'id': c.impression_id, 'day': c.impression_day,
            'name_t': c.name_t}}"""
        return f"""
            SELECT e.n, {'min' if self._rules.is_first else 'max'}({place}) AS cause
            FROM {effects} e JOIN {causes} c ON {equal}
                AND e.t BETWEEN c.t - {self._skew} AND c.t + {window}
            WHERE e.reason IS NULL AND c.reason IS NULL GROUP BY e.n"""

    def _texts(self, names: tuple[str, ...]) -> str:
        return ", ".join(f"coalesce({name}::VARCHAR, 'none')" for name in names)


def _any_null(keys: tuple[str, ...]) -> str:
    return " OR ".join(f"{key} IS NULL" for key in keys)
