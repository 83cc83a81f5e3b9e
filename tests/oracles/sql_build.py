"""The whole build once more, in SQL by DuckDB: what docs/samples.md says, sentence by sentence.

It shares no code with the Spark half: not its way of looking up causes (here: all pairs of equal
keys inside the window), nor of finding duplicates, nor its calendar but for instants of midnight.
"""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from tests.oracles.log_rows import Rules, start_of

ONE_DAY = timedelta(days=1)
LOGS = ("impressions", "clicks", "conversions")


class SqlDay(NamedTuple):
    """What a day comes to."""

    samples: pa.Table
    """impression_id, click, conversion, value."""
    counters: Counter[str]


class Names(NamedTuple):
    """What the columns of the logs are called."""

    keys: tuple[str, ...] = ("visitor", "item")
    content: tuple[str, ...] = ("value", "user_id")
    """Of impressions: all that features and group key are made of."""
    type: str = "type"
    value: str = "revenue"


def built_by_sql(
    logs: Path, days: list[date], rules: Rules, names: Names = Names()
) -> dict[date, SqlDay]:
    """Labels and counters of some days of partitioned logs (dt=…) below a folder."""
    with duckdb.connect() as base:
        base.execute("SET TimeZone = 'UTC'; SET threads = 2; SET memory_limit = '3GB'")
        sql = _Sql(base, rules, names)
        sql.read(logs, days)
        sql.look_up_causes()
        return {day: sql.day(day) for day in days}


class _Sql:
    """The statements; times are microseconds since 1970."""

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
        self._are_keyed = "keys" in (rules.clicks_by, rules.conversions_by)

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

    # -----------------------------------------------------------------------------------------
    # Who takes no part, and causes
    # -----------------------------------------------------------------------------------------

    def look_up_causes(self) -> None:
        """The reason of each row that takes no part; of the others impression and click."""
        self._base.execute(f"""
            CREATE TABLE live_impressions AS
            SELECT i.*, CASE WHEN impression_id IS NULL THEN 'null_id'
                WHEN t IS NULL THEN 'null_time'
                WHEN t < begins OR t >= ends THEN 'misfiled' END AS reason,
                md5(concat_ws('|', {self._texts(self._names.content)})) AS content
            FROM impressions i JOIN days ON day = filed""")
        self._find_click_reasons()
        self._find_impressions_of_clicks()
        self._find_clicks_of_conversions()

    def _find_click_reasons(self) -> None:
        rules = self._rules
        id_is_null = self._any_null() if rules.clicks_by == "keys" else "impression_id IS NULL"
        # Its own day, or a later one that begins inside the click window of its own day's end.
        in_time = f"own.day <= filed AND (own.day = filed OR f.begins < own.ends + {self._click})"
        misfiled = f"WHEN NOT ({in_time}) THEN 'misfiled'" if self._are_keyed else ""
        self._base.execute(f"""
            CREATE TABLE clicks_1 AS
            SELECT c.*, CASE WHEN {id_is_null} THEN 'null_id' WHEN t IS NULL THEN 'null_time'
                {misfiled} END AS reason
            FROM clicks c JOIN days f ON f.day = filed
            LEFT JOIN days own ON t >= own.begins AND t < own.ends""")
        most, seconds = rules.bots or (0, 1)
        bot = "false" if rules.bots is None else f"""
            reason IS NULL AND {self._names.keys[0]} IS NOT NULL AND count(*) OVER (
                PARTITION BY reason IS NULL, filed, {self._names.keys[0]},
                floor(t / {seconds * 1_000_000}::DOUBLE)) > {most}"""
        self._base.execute(f"""
            CREATE TABLE clicks_2 AS SELECT * REPLACE (
                CASE WHEN {bot} THEN 'of_bots' ELSE reason END AS reason) FROM clicks_1""")
        target = ", ".join(self._names.keys if rules.clicks_by == "keys" else ["impression_id"])
        tie = ["click_id"] if rules.conversions_by == "click_id" else list(self._names.keys)
        order = ", ".join(f"{name} NULLS FIRST" for name in ["t", *tie])
        gap = (rules.double_click or timedelta()) // timedelta(microseconds=1)
        double = "false" if rules.double_click is None else f"""
            reason IS NULL AND t - lag(t) OVER (
                PARTITION BY reason IS NULL, filed, {target} ORDER BY {order}) <= {gap}"""
        self._base.execute(f"""
            CREATE TABLE clicks_3 AS SELECT * REPLACE (
                CASE WHEN {double} THEN 'double' ELSE reason END AS reason) FROM clicks_2""")

    def _find_impressions_of_clicks(self) -> None:
        if self._rules.clicks_by != "keys":
            self._base.execute(
                "CREATE TABLE live_clicks AS SELECT *, NULL::DATE AS impression_day FROM clicks_3"
            )
            return
        keys = ", ".join(self._names.keys)
        self._base.execute(f"""
            CREATE TABLE candidates AS SELECT *, filed AS impression_day FROM live_impressions
            WHERE reason IS NULL AND NOT ({self._any_null()})
            QUALIFY row_number() OVER (PARTITION BY filed, impression_id ORDER BY t, {keys}) = 1""")
        self._base.execute(f"""
            CREATE TABLE live_clicks AS
            SELECT c.* REPLACE (cause.id AS impression_id), cause.day AS impression_day
            FROM clicks_3 c LEFT JOIN (
                {self._cause_of('clicks_3', 'candidates', self._click)}) USING (n)""")

    def _find_clicks_of_conversions(self) -> None:
        rules = self._rules
        id_is_null = self._any_null() if rules.conversions_by == "keys" else (
            f"{rules.conversions_by} IS NULL"
        )
        kinds = ", ".join(f"'{kind}'" for kind in rules.types)
        is_other = f"coalesce({self._names.type} NOT IN ({kinds}), true)" if kinds else "false"
        misfiled = "WHEN t >= ends THEN 'misfiled'" if rules.conversions_by == "keys" else ""
        value = f"{self._names.value}::DOUBLE" if rules.has_value else "NULL::DOUBLE"
        self._base.execute(f"""
            CREATE TABLE conversions_1 AS
            SELECT v.* EXCLUDE (begins, ends, day), CASE WHEN {is_other} THEN 'other_type'
                WHEN {id_is_null} THEN 'null_id' WHEN t IS NULL THEN 'null_time' {misfiled}
                END AS reason, {value} AS worth,
                {self._names.type if kinds else "''"} AS kind, NULL::BIGINT AS click_t,
                NULL::DATE AS impression_day
            FROM (FROM conversions JOIN days ON day = filed) v""")
        if rules.conversions_by != "keys":
            self._base.execute("CREATE TABLE live_conversions AS FROM conversions_1")
            return
        self._base.execute(f"""
            CREATE TABLE live_conversions AS
            SELECT v.* REPLACE (cause.id AS impression_id, cause.t AS click_t,
                cause.day AS impression_day)
            FROM conversions_1 v LEFT JOIN (
                {self._cause_of('conversions_1', 'live_clicks', self._conversion)}) USING (n)""")

    def _cause_of(self, effects: str, causes: str, window: int) -> str:
        """Of all causes of equal keys in whose window an effect lies the last or the first."""
        equal = " AND ".join(f"e.{key} = c.{key}" for key in self._names.keys)
        place = """{'t': c.t, 'has': c.impression_id IS NOT NULL, 'id': c.impression_id,
            'day': c.impression_day}"""
        return f"""
            SELECT e.n, {'min' if self._rules.is_first else 'max'}({place}) AS cause
            FROM {effects} e JOIN {causes} c ON {equal}
                AND e.t BETWEEN c.t - {self._skew} AND c.t + {window}
            WHERE e.reason IS NULL AND c.reason IS NULL GROUP BY e.n"""

    # -----------------------------------------------------------------------------------------
    # One day
    # -----------------------------------------------------------------------------------------

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
            SELECT count(*) AS impressions_out,
                sum(num_rows - num_different) AS impressions_repeated,
                sum(num_different - 1) AS impressions_conflicting,
                sum(has_no_group::INT) AS samples_null_group FROM kept"""))

    def _see(
        self, log: str, day: date, after: int, before: int, counters: Counter[str]
    ) -> None:
        """The live events that the day sees, with the impression of the day if there is one."""
        self._tally(log, f"SELECT reason FROM live_{log} WHERE filed = '{day}'", counters)
        attributed = f"live_{log}"
        if log == "conversions" and self._rules.conversions_by == "click_id":
            attributed = """(
                SELECT v.* REPLACE (c.cause.id AS impression_id, c.cause.t AS click_t)
                FROM live_conversions v LEFT JOIN (
                    SELECT click_id, min({'t': t, 'has': id IS NOT NULL, 'id': id}) AS cause
                    FROM seen_clicks GROUP BY click_id) c USING (click_id))"""
        self._base.execute(f"""
            CREATE OR REPLACE TABLE seen_{log} AS
            SELECT e.* EXCLUDE (impression_id), e.impression_id AS id, k.shown,
                filed = '{day}' AS is_own
            FROM (SELECT * REPLACE (CASE WHEN coalesce(impression_day, '{day}') = '{day}'
                THEN impression_id END AS impression_id) FROM {attributed}) e
            JOIN days f ON f.day = e.filed
            JOIN days d ON d.day = '{day}' LEFT JOIN kept k USING (impression_id)
            WHERE reason IS NULL
                AND (filed = d.day OR f.begins < d.ends + {after} AND f.ends > d.begins - {before})
            """)
        counters.update(self._counts(f"""
            SELECT count(*) FILTER (shown IS NULL AND is_own) AS {log}_without_impression,
                count(*) FILTER (shown IS NOT NULL AND NOT is_own) AS {log}_from_other_days
            FROM seen_{log}"""))

    def _count_clicks(self, day: date, counters: Counter[str]) -> None:
        self._base.execute(f"""
            CREATE OR REPLACE TABLE distinct_clicks AS
            SELECT id, t, CASE WHEN t < shown - {self._skew} THEN 'before_impression'
                WHEN t > shown + {self._click} THEN 'after_window'
                WHEN t < shown THEN 'skewed' ELSE 'credited' END AS fate, count(*) AS num_rows
            FROM seen_clicks WHERE shown IS NOT NULL GROUP BY id, t, shown;
            CREATE OR REPLACE TABLE counting_clicks AS
            FROM distinct_clicks WHERE fate IN ('skewed', 'credited')""")
        self._tally_fates("clicks", "distinct_clicks", counters)
        counters.update(self._counts(
            "SELECT sum(num_rows - 1) AS clicks_repeated FROM distinct_clicks"
        ))

    def _count_conversions(self, day: date, counters: Counter[str]) -> None:
        """Of rows of equal id, time, kind and click the one that is worth most counts."""
        does_name = self._rules.conversions_by != "impression_id"
        # Any click covers as well as the latest at or before the conversion.
        of_click = "c.t = v.click_t" if does_name else f"c.t <= v.t + {self._skew}"
        longest = self._click + self._conversion
        may_imply = f"t BETWEEN shown - {self._skew} AND shown + {longest}"
        implies = may_imply if self._rules.implies_click else "false"
        otherwise = "without_click" if does_name else "before_click"
        self._base.execute(f"""
            CREATE OR REPLACE TABLE distinct_conversions AS
            SELECT id, t, kind, click_t, shown, count(*) AS num_rows,
                count(DISTINCT coalesce(worth::VARCHAR, 'unknown')) AS num_different,
                max(worth) AS worth
            FROM seen_conversions WHERE shown IS NOT NULL GROUP BY id, t, kind, click_t, shown;
            CREATE OR REPLACE TABLE judged AS
            SELECT v.*, CASE WHEN num_clicks = 0 THEN
                    CASE WHEN {implies} THEN 'implying_click' ELSE 'without_click' END
                WHEN click_at IS NULL THEN '{otherwise}'
                WHEN t < click_at - {self._skew} THEN 'before_click'
                WHEN t > click_at + {self._conversion} THEN 'after_window'
                WHEN t < click_at THEN 'skewed' ELSE 'credited' END AS fate
            FROM (SELECT v.*, count(c.t) AS num_clicks, max(c.t) FILTER ({of_click}) AS click_at
                  FROM distinct_conversions v LEFT JOIN counting_clicks c USING (id)
                  GROUP BY ALL) v;
            CREATE OR REPLACE TABLE credited AS
            FROM judged WHERE fate IN ('skewed', 'credited', 'implying_click')""")
        self._tally_fates("conversions", "judged", counters)
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

    def _any_null(self) -> str:
        return " OR ".join(f"{key} IS NULL" for key in self._names.keys)

    def _texts(self, names: tuple[str, ...]) -> str:
        return ", ".join(f"coalesce({name}::VARCHAR, 'none')" for name in names)
