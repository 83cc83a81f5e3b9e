"""The builder's benchmark as DuckDB does it, with as little work as gives the same samples."""

from pathlib import Path

import duckdb

from benchmarks.parts.one_day import HASH_SIZE, HASHED, PRICES, ROWS_PER_FILE

# Which row of equal ids is kept. To tell which ids come twice takes their column alone, so that our
# rule, the earliest row and then the least, costs wide rows nothing where there are none.
KEPT = {
    "any row": "SELECT DISTINCT ON (impression_id) * FROM log",
    "the earliest row": f"""
        SELECT * FROM log ANTI JOIN repeated USING (impression_id)
        UNION ALL
        SELECT * FROM log SEMI JOIN repeated USING (impression_id)
        QUALIFY row_number() OVER (
            PARTITION BY impression_id ORDER BY event_time, {', '.join((*HASHED, *PRICES))}
        ) = 1
    """,
}


def build_with_duckdb(
    folder: Path, kept: str, num_threads: int, memory: str
) -> tuple[int, int, int]:
    """Writes the day's samples; of the clicks and conversions of an impression it looks at the
    first and the last alone, and it counts no fates.

    Returns:
        Rows, clicked rows and converted rows.
    """
    connection = duckdb.connect()
    connection.execute(f"SET threads = {num_threads}; SET memory_limit = '{memory}'")
    connection.execute(f"SET temp_directory = '{folder}/spill'")
    encoded = {name: f"1 + (hash({name}, 7) >> 1) % {HASH_SIZE - 1}" for name in HASHED}
    encoded |= {
        name: f"1 + least(99, floor({name} / {width}))" for name, width in PRICES.items()
    }
    ids = [f"CASE WHEN {name} IS NULL THEN 0 ELSE {value} END::INTEGER AS {name}"
           for name, value in encoded.items()]
    clicked = "event_time <= click_time AND click_time <= event_time + INTERVAL 24 HOUR"
    converted = f"""{clicked} AND click_time <= conversion_time
        AND conversion_time <= click_time + INTERVAL 24 HOUR"""
    rows = f"""
        WITH log AS (SELECT * FROM '{folder}/impressions/*/*.parquet'),
        repeated AS (SELECT impression_id FROM log GROUP BY impression_id HAVING count(*) > 1),
        impressions AS ({KEPT[kept]}),
        clicks AS (
            SELECT impression_id, min(event_time) AS first_click_time, max(event_time) AS click_time
            FROM '{folder}/clicks/*/*.parquet' GROUP BY impression_id
        ), conversions AS (
            SELECT impression_id, max(event_time) AS conversion_time
            FROM '{folder}/conversions/*/*.parquet' WHERE type = 'order' GROUP BY impression_id
        )
        SELECT hash(impression_id) AS sample_id, hash(field_00) AS group_id,
            coalesce({clicked}, false)::TINYINT AS click,
            coalesce({converted}, false)::TINYINT AS conversion, 1::FLOAT AS weight,
            CASE WHEN {clicked} THEN epoch(first_click_time - event_time) ELSE -1 END::INTEGER
                AS click_delay_s,
            CASE WHEN {converted} THEN epoch(conversion_time - click_time) ELSE -1 END::INTEGER
                AS conversion_delay_s,
            {2 * 24 * 3600}::INTEGER AS observed_s, 1::TINYINT AS mature, {', '.join(ids)}
        FROM impressions LEFT JOIN clicks USING (impression_id)
        LEFT JOIN conversions USING (impression_id)
        ORDER BY hash(impression_id, 1)"""
    path = folder / "duckdb.parquet"
    options = f"(FORMAT parquet, ROW_GROUP_SIZE {ROWS_PER_FILE})"
    connection.execute(f"COPY ({rows}) TO '{path}' {options}")
    found = connection.execute(
        f"SELECT count(*), sum(click), sum(conversion) FROM '{path}'"
    ).fetchone()
    assert found is not None
    path.unlink()
    num_rows, num_clicks, num_conversions = map(int, found)
    return num_rows, num_clicks, num_conversions
