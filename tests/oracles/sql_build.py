"""The whole build once more, in SQL by DuckDB: what docs/samples.md says, sentence by sentence.

It shares no code with the Spark half: not its way of looking up causes, nor of finding duplicates,
nor its calendar but for instants of midnight.
"""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from tests.oracles.log_rows import Rules
from tests.oracles.sql_causes import Names, SqlCauses


class SqlDay(NamedTuple):
    """What a day comes to."""

    samples: pa.Table
    """impression_id, click, conversion, value."""
    counters: Counter[str]


def built_by_sql(
    logs: Path, days: list[date], rules: Rules, names: Names = Names()
) -> dict[date, SqlDay]:
    """Labels and counters of some days of partitioned logs (dt=…) below a folder."""
    with duckdb.connect() as base:
        base.execute("SET TimeZone = 'UTC'; SET threads = 2; SET memory_limit = '3GB'")
        causes = SqlCauses(base, rules, names)
        causes.read(logs, days)
        causes.look_up_causes()
        return {day: _SqlDays(base, rules, names).day(day) for day in days}


class _SqlDays:
    """The statements of single days, on the tables that `SqlCauses` leaves."""

    def __init__(
        self, base: duckdb.DuckDBPyConnection, rules: Rules, names: Names
    ) -> None:
        self._base = base
        self._rules = rules
        self._names = names
        self._click, self._conversion, self._skew = (
            span // timedelta(microseconds=1)
            for span in (rules.click_window, rules.conversion_window, rules.max_skew)
        )

    def day(self, day: date) -> SqlDay:
        """What one day makes of all rows."""
        counters: Counter[str] = Counter()
        self._keep_impressions(day, counters)
        self._see("clicks", day, self._click, self._skew, counters)
        self._count_clicks(day, counters)
        longest = self._click + self._conversion
        self._see("conversions", day, longest, 2 * self._skew, counters)
        self._count_conversions(day, counters)
        samples = self._base.sql("""
            SELECT impression_id, coalesce(click, 0) AS click,
                coalesce(conversion, 0) AS conversion, coalesce(value, 0) AS value
            FROM kept LEFT JOIN (
                SELECT id AS impression_id, 1 AS click, max(is_conversion) AS conversion,
                    sum(worth) AS value
                FROM (SELECT id, 0 AS is_conversion, NULL AS worth FROM counting_clicks
                      UNION ALL SELECT id, 1, worth FROM credited) GROUP BY id
            ) USING (impression_id)""").to_arrow_table()
        self._count_samples(counters)
        return SqlDay(samples, counters)

    def _keep_impressions(self, day: date, counters: Counter[str]) -> None:
        self._tally("impressions", f"SELECT reason FROM live_impressions WHERE filed = '{day}'",
                    counters)
        self._base.execute(f"""
            CREATE OR REPLACE TABLE kept AS SELECT impression_id, min(t) AS shown,
                count(*) AS num_rows, count(DISTINCT (t, content)) AS num_different,
                bool_and(user_is_null) AS has_no_group
            FROM (SELECT *, {self._names.content[-1]} IS NULL AND
                      t = min(t) OVER (PARTITION BY impression_id)
                      OR t > min(t) OVER (PARTITION BY impression_id) AS user_is_null
                  FROM live_impressions WHERE filed = '{day}' AND reason IS NULL)
            GROUP BY impression_id""")
        counters.update(self._counts("""
            SELECT sum(num_rows - num_different) AS impressions_repeated,
                sum(num_different - 1) AS impressions_conflicting FROM kept"""))
        again = f"impression_id IN (SELECT impression_id FROM again WHERE filed = '{day}')"
        counters.update(self._counts(
            f"SELECT count(*) AS impressions_shown_before FROM kept WHERE {again}"
        ))
        self._base.execute(f"DELETE FROM kept WHERE {again}")
        counters.update(self._counts("""
            SELECT count(*) AS impressions_out, sum(has_no_group::INT) AS samples_null_group
            FROM kept"""))

    def _see(
        self, log: str, day: date, after: int, before: int, counters: Counter[str]
    ) -> None:
        """The live events that the day sees, with the impression of the day if there is one."""
        late = self._rules.lateness // timedelta(microseconds=1)
        attributed, made = f"live_{log}", "choice = 0" if log == "clicks" else "true"
        self._tally(
            log, f"SELECT reason FROM live_{log} WHERE filed = '{day}' AND {made}", counters
        )
        if log == "conversions" and self._rules.conversions_by == "click_id":
            attributed = """(
                SELECT v.* REPLACE (c.cause.id AS impression_id, c.cause.name_t AS click_t)
                FROM live_conversions v LEFT JOIN (
                    SELECT click_id, min({
                        't': CASE WHEN choice > 0 THEN name_t ELSE t END, 'choice': choice,
                        'has': id IS NOT NULL, 'id': id, 'name_t': name_t}) AS cause
                    FROM named_clicks GROUP BY click_id) c USING (click_id))"""
        named = "named_clicks" if log == "clicks" else "seen_conversions"
        self._base.execute(f"""
            CREATE OR REPLACE TABLE {named} AS
            SELECT e.* EXCLUDE (impression_id), e.impression_id AS id, k.shown,
                filed = '{day}' AS is_own
            FROM (SELECT * REPLACE (CASE WHEN coalesce(impression_day, '{day}') = '{day}'
                THEN impression_id END AS impression_id) FROM {attributed}) e
            JOIN days f ON f.day = e.filed
            JOIN days d ON d.day = '{day}' LEFT JOIN kept k USING (impression_id)
            WHERE reason IS NULL
                AND (filed = d.day
                    OR f.begins < d.ends + {after + late} AND f.ends > d.begins - {before})
            """)
        if log == "clicks":
            self._base.execute("""
                CREATE OR REPLACE TABLE seen_clicks AS FROM named_clicks WHERE choice = 0""")
        counters.update(self._counts(f"""
            SELECT count(*) FILTER (shown IS NULL AND is_own) AS {log}_without_impression,
                count(*) FILTER (shown IS NOT NULL AND NOT is_own) AS {log}_from_other_days
            FROM seen_{log}"""))

    def _count_clicks(self, day: date, counters: Counter[str]) -> None:
        self._base.execute(f"""
            CREATE OR REPLACE TABLE distinct_clicks AS
            SELECT id, t, max(name_t) AS name_t,
                CASE WHEN t < shown - {self._skew} THEN 'before_impression'
                WHEN t > shown + {self._click} THEN 'after_window'
                WHEN t < shown THEN 'skewed' ELSE 'credited' END AS fate, count(*) AS num_rows
            FROM seen_clicks WHERE shown IS NOT NULL GROUP BY id, t, shown;
            UPDATE distinct_clicks d SET fate = 'double'
            WHERE fate IN ('skewed', 'credited') AND name_t < t AND EXISTS (
                FROM distinct_clicks f WHERE f.id = d.id AND f.t = d.name_t
                    AND f.fate IN ('skewed', 'credited'));
            CREATE OR REPLACE TABLE counting_clicks AS
            FROM distinct_clicks WHERE fate IN ('skewed', 'credited')""")
        self._tally_fates("clicks", "distinct_clicks", counters)
        if self._rules.conversions_by == "keys" and self._rules.clicks_by != "keys":
            counters.update(self._counts("""
                SELECT count(*) AS clicks_untimely FROM seen_clicks
                WHERE is_own AND is_untimely"""))
        counters.update(self._counts(
            "SELECT sum(num_rows - 1) AS clicks_repeated FROM distinct_clicks"
        ))

    def _count_conversions(self, day: date, counters: Counter[str]) -> None:
        """Of rows of equal impression and conversion id, or without any of equal time, kind and
        click, the earliest counts, and of these the one that is worth most."""
        does_name = self._rules.conversions_by != "impression_id"
        longest = self._click + self._conversion
        may_imply = f"t BETWEEN shown - {self._skew} AND shown + {longest}"
        implies = may_imply if self._rules.implies_click else "false"
        otherwise = "without_click" if does_name else "before_click"
        # In order with the latest click before it, if that covers it; else skewed, by the next one.
        click_at = "named" if does_name else f"""
            CASE WHEN before IS NOT NULL AND t <= before + {self._conversion} THEN before
                 WHEN after <= t + {self._skew} THEN after ELSE before END"""
        told = "coalesce(concat_ws('|', t, kind, click_t), '')"
        own = f"coalesce({self._names.id}, {told})" if self._rules.has_ids else told
        self._base.execute(f"""
            CREATE OR REPLACE TABLE distinct_conversions AS
            SELECT id, shown, {own} AS own, count(*) AS num_rows,
                count(DISTINCT (t, click_t, coalesce(worth::VARCHAR, 'unknown'))) AS num_different,
                unnest(min({{'t': t, 'click_t': click_t, 'is_unknown': worth IS NULL,
                             'cost': -worth}}))
            FROM seen_conversions WHERE shown IS NOT NULL GROUP BY id, shown, own;
            CREATE OR REPLACE TABLE judged AS
            SELECT *, CASE WHEN num_clicks = 0 THEN
                    CASE WHEN {implies} THEN 'implying_click' ELSE 'without_click' END
                WHEN click_at IS NULL THEN '{otherwise}'
                WHEN t < click_at - {self._skew} THEN 'before_click'
                WHEN t > click_at + {self._conversion} THEN 'after_window'
                WHEN t < click_at THEN 'skewed' ELSE 'credited' END AS fate
            FROM (SELECT *, {click_at} AS click_at, -cost AS worth FROM (
                SELECT v.*, count(c.t) AS num_clicks, max(c.t) FILTER (c.t <= v.t) AS before,
                    min(c.t) FILTER (c.t > v.t) AS after,
                    max(c.t) FILTER (c.name_t = click_t) AS named
                FROM distinct_conversions v LEFT JOIN counting_clicks c USING (id)
                GROUP BY ALL));
            CREATE OR REPLACE TABLE credited AS
            FROM judged WHERE fate IN ('skewed', 'credited', 'implying_click')""")
        self._tally_fates("conversions", "judged", counters)
        if self._rules.has_ids:
            counters.update(self._counts(f"""
                SELECT count(*) AS conversions_null_conversion_id FROM live_conversions
                WHERE filed = '{day}' AND {self._names.id} IS NULL
                    AND reason IS DISTINCT FROM 'other_type'"""))
        counters.update(self._counts("""
            SELECT sum(num_rows - num_different) AS conversions_repeated,
                sum(num_different - 1) AS conversions_conflicting FROM distinct_conversions"""))

    def _count_samples(self, counters: Counter[str]) -> None:
        clicked = "SELECT id FROM counting_clicks"
        counters.update(self._counts("""
            SELECT count(DISTINCT id) AS samples_converted,
                count(DISTINCT id) FILTER (fate = 'implying_click') AS samples_click_implied,
                count(DISTINCT id) FILTER (worth IS NULL) AS samples_unknown_value
            FROM credited"""))
        counters.update(self._counts(f"""
            SELECT count(*) AS samples_clicked
            FROM ({clicked} UNION SELECT id FROM credited)"""))
        if not self._rules.has_value:
            del counters["samples_unknown_value"]

    def _tally(self, log: str, reasons: str, counters: Counter[str]) -> None:
        """Rows of a log filed under the day, and those that take no part by their reason."""
        counters.update(self._counts(f"SELECT count(*) AS {log}_in FROM ({reasons})"))
        found = self._base.execute(
            f"SELECT reason, count(*) FROM ({reasons}) WHERE reason IS NOT NULL GROUP BY 1"
        ).fetchall()
        counters.update({f"{log}_{reason}": number for reason, number in found})

    def _tally_fates(self, log: str, table: str, counters: Counter[str]) -> None:
        found = self._base.execute(f"SELECT fate, count(*) FROM {table} GROUP BY 1").fetchall()
        counters.update({f"{log}_{fate}": number for fate, number in found})

    def _counts(self, query: str) -> dict[str, int]:
        found = self._base.execute(query)
        assert found.description is not None
        names, (row,) = [column[0] for column in found.description], found.fetchall()
        return {name: int(number or 0) for name, number in zip(names, row)}
