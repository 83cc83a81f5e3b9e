"""One directory of scores: files written aside, named, counted, and committed by a manifest.

Days keep what others published meanwhile; a day that is scored again is replaced whole. It knows
neither the table nor the model.
"""

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from pyspark.sql import DataFrame, SparkSession

from esmm_dist.contract.manifest import MANIFESTS, latest_document, manifest_numbers
from esmm_dist.contract.scores import DAY, ScoredDay, ScoreFile, ScoresManifest
from esmm_dist.contract.sections import Config
from esmm_dist.samples.cleaning import Listing, builds_of
from esmm_dist.samples.files import Files
from esmm_dist.samples.io import DRAFTS, build_folder, now

NUM_THREADS = 8
# Else Spark sorts each task's rows by their day before it writes them.
WRITERS_AT_ONCE = "spark.sql.maxConcurrentOutputFileWriters"


class ScoresStore:
    """The scores below one path."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        self._spark, self.path = spark, path
        self._files = Files(spark, path)

    def latest(self) -> tuple[ScoresManifest | None, int]:
        """The highest whole manifest, None before the first; and the number of the next one."""
        names = self._files.names(MANIFESTS)
        found = latest_document(names, self._files.read)
        manifest = found and ScoresManifest.parse(found.text, f"{self.path}/{found.path}")
        return manifest, 1 + max(manifest_numbers(names), default=0)

    def write(self, scores: DataFrame, days: Sequence[date]) -> dict[date, tuple[ScoreFile, ...]]:
        """Writes the scores of some days into folders of their own; no manifest lists them yet.

        Args:
            scores: `day` and the columns that the files are to have.
        """
        build_id = f"{now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"  # new, and sorting by time
        draft = f"{DRAFTS}/{build_id}"
        self._spark.conf.set(WRITERS_AT_ONCE, str(len(days)))
        try:
            scores.write.partitionBy(DAY).parquet(f"{self.path}/{draft}")
            return {day: self._named(draft, day, build_id) for day in days}
        finally:
            self._files.delete(draft)

    def publish(self, scored: Sequence[ScoredDay]) -> ScoresManifest:
        """Merges days into the latest manifest, again and again if others publish meanwhile."""
        while True:
            latest, number = self.latest()
            kept = latest.days if latest else ()
            days = {day.day: day for day in (*kept, *scored)}
            manifest = ScoresManifest(
                number=number, created_at=now(), days=tuple(days[day] for day in sorted(days))
            )
            if self._files.create(manifest.path, manifest.model_dump_json(indent=1) + "\n"):
                return manifest

    def _named(self, draft: str, day: date, build_id: str) -> tuple[ScoreFile, ...]:
        """The day's files of the draft, under the names that they keep, and the rows of each."""
        folder = build_folder(day, build_id)
        self._files.make_directory(folder)
        sizes = {name: size for name, size in self._files.sizes(f"{draft}/{DAY}={day}").items()
                 if name.startswith("part-")}

        def move(place: int, name: str) -> ScoreFile:
            path = f"{folder}/{place:05}.parquet"
            self._files.rename(f"{draft}/{DAY}={day}/{name}", path)
            blocks = self._files.footer(path).getBlocks()
            return ScoreFile(
                path=path, num_bytes=sizes[name],
                num_rows=sum(block.getRowCount() for block in blocks),
            )

        with ThreadPoolExecutor(NUM_THREADS) as pool:
            return tuple(pool.map(move, range(len(sizes)), sorted(sizes)))


def build_id_of(files: Sequence[ScoreFile]) -> str:
    """The build that made a day's files, as their folder names it."""
    return files[0].path.split("build=")[1].partition("/")[0]


def listing_of_scores(text: str, source: str) -> Listing:
    """What a manifest of scores needs, for whoever cleans its directory."""
    manifest = ScoresManifest.parse(text, source)
    builds = builds_of([file.path for day in manifest.days for file in day.files])
    return Listing(manifest.number, manifest.created_at, frozenset({manifest.path} | builds))


def scores_path(config: Config) -> str:
    """Where the scores of a config lie."""
    return config.score.path or f"{config.runs_path}/{config.name}/scores"
