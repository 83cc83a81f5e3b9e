"""The sections of the config: one model each, frozen, every field with its unit.

Values only: what a section means is the business of the room that reads it.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from esmm_dist.contract.days import MAX_DAYS, DayRange, check_num_days, day_number
from esmm_dist.contract.declaration import check_features, check_sources
from esmm_dist.contract.expectations import Quality, check_columns
from esmm_dist.contract.features import Feature, Section
from esmm_dist.contract.gating import Gate
from esmm_dist.contract.leaks import check_leaks
from esmm_dist.contract.logs import Logs
from esmm_dist.contract.method_options import MethodName, MethodOptions
from esmm_dist.contract.protocols import Audit, Tune
from esmm_dist.contract.publishing import Calibrate, Publish
from esmm_dist.contract.renaming import check_renaming
from esmm_dist.contract.retraining import Retraining
from esmm_dist.contract.scoring import Score
from esmm_dist.contract.simulation import Simulation
from esmm_dist.contract.tracking import Tracking
from esmm_dist.contract.unclicked import check_correction

Positive = Annotated[int, Field(gt=0)]

# Far above any use: what lies beyond is a slip, told before anything is allocated.
Width = Annotated[int, Field(gt=0, le=16_384)]
Hours = Annotated[float, Field(gt=0, le=24 * MAX_DAYS)]


class Samples(Section):
    """What the Spark job builds."""

    path: str
    """The directory of the samples and their manifests."""
    days: DayRange
    """The days built when --days is not given."""
    fit_days: DayRange
    """The days from which vocabularies and quantiles are learned: training days only."""
    group_key: str = "user_id"
    """The impressions column by which GAUC groups and the bootstrap draws."""
    click_window_hours: Hours = 24.0
    """A click counts if it falls in [impression, impression + window]."""
    conversion_window_hours: Hours = 24.0
    """A conversion counts if it falls in [click, click + window]."""
    as_of: AwareDatetime | None = None
    """Rows of the logs that became known later are not seen, as in 2026-03-04T00:00:00Z; labels
    whose windows were still open then are immature. None: the logs are complete as they lie."""
    lateness_hours: Annotated[float, Field(ge=0, le=24 * MAX_DAYS)] = 0.0
    """How long after they happened rows may become known: labels are mature so long after both
    windows, and not before. In logs that declare a partition, events are looked for under the days
    of so much later too: it may be that of their arrival."""
    label_stream: Literal["as_of", "fake_negative"] = "as_of"
    """fake_negative: beside every late conversion the files hold the negative that its click was
    taken for before, as FNW (arXiv 1907.06558) and ES-DFM (arXiv 2012.03245) train on them. Methods
    and figures that do not ask for such rows never see them."""
    fake_negative_after_hours: Annotated[float, Field(ge=0, le=24 * MAX_DAYS)] = 0.0
    """A conversion is late if it came so long after its click or longer; 0: each, as in FNW."""
    shuffle_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the order of rows inside a day."""
    unclicked_rate: Annotated[float, Field(ge=1e-6, le=1)] = 1.0
    """Share of the samples without a click that are kept, each with the weight 1 / rate, so that
    weighted losses and metrics expect what they would over all samples. Which ones, hangs on the
    sample id and shuffle_seed alone."""
    unclicked_days: DayRange | None = None
    """The days that unclicked_rate is for, such as those of training; none: every day."""
    rows_per_file: Annotated[int, Field(ge=1, le=2**20)] = 65_536
    """Rows of a full file; a file is one row group, the unit in which readers read."""

    @model_validator(mode="after")
    def _says_what_it_means(self) -> "Samples":
        if patterns := sorted(set("*?[]{}") & set(self.path)):
            raise ValueError(
                f"path = {self.path} holds {' '.join(patterns)}, which Spark takes for a pattern: "
                "give another"
            )
        if self.fake_negative_after_hours and self.label_stream != "fake_negative":
            raise ValueError(
                f"fake_negative_after_hours = {self.fake_negative_after_hours} is not looked at: "
                "set label_stream: fake_negative"
            )
        return self


class Model(Section):
    """What is trained. The paper's network: shared embeddings and one tower per task."""

    method: MethodName = "esmm"
    """docs/methods.md says what each minimises, over which rows, and what it predicts."""
    options: MethodOptions = MethodOptions()
    combine: Literal["concat", "group_sum"] = "concat"
    """Fields side by side, or summed within user, item, … and the groups side by side."""
    embedding_dim: Annotated[int, Field(gt=0, le=4096)] = 18
    hidden_units: Annotated[tuple[Width, ...], Field(max_length=32)] = (360, 200, 80)
    """Widths of a tower's ReLU layers, before its one logit."""


class Embedding(Section):
    """How the embedding tables lie over the ranks, and which rows learn."""

    parallel: Literal["sharded", "replicated"] = "sharded"
    """sharded: each rank holds its share of the rows. replicated: each holds all of them, which
    spares an exchange where tables are small; gradients then go to every rank."""
    exchange: Literal["float32", "float16"] = "float32"
    """How vectors and their gradients travel between ranks: float32 as they are, float16 at half
    the bytes."""
    admit_after: Annotated[int, Field(ge=1, le=30_000)] = 1
    """Steps that must have seen a row before it learns; until then it stays as it began."""
    expire_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None
    """A row that no sample of so many last days of the training holds begins anew when the training
    ends. None: what was learned once is kept."""


class Optimizer(Section):
    """How one part of the parameters learns."""

    name: Literal["adam", "adagrad", "sgd"] = "adam"
    """For the tables: lazy Adam (only rows seen in the step move), or row-wise Adagrad."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """L2 added to the gradient; on tables only of the rows seen in the step."""


class Train(Section):
    """How the model is trained."""

    days: DayRange
    """The days trained on when evaluate.retrain is `once`; the first one counts always."""
    batch_size: Annotated[int, Field(gt=0, le=2**24)] = 4096
    """Rows of one step over all ranks together."""
    num_lanes: Annotated[int, Field(gt=0, le=4096)] = 8
    """Parallel row ranges of an epoch; numbers of ranks that divide it give the same batches."""
    num_epochs: Annotated[int, Field(gt=0, le=1000)] = 1
    """Sparse click models overfit from the second epoch on (arXiv 2209.06053)."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    precision: Literal["float32", "float64"] = "float32"
    """Of weights, rows and sums."""
    mixed_precision: Literal["none", "bfloat16"] = "none"
    """bfloat16: the networks' products are taken of numbers rounded to 8 bits, in training alone;
    all that is kept stays in float32. Worth it where the processor multiplies such numbers
    (docs/engine.md)."""
    towers: Optimizer = Optimizer()
    tables: Optimizer = Optimizer()
    unclicked: Literal["weighted", "corrected"] = "weighted"
    """How samples.unclicked_rate is undone. weighted: by the samples' weights in the loss.
    corrected: the loss weighs all rows alike, and log(rate) is added to the CTR logit of whatever
    is predicted; for methods whose other predictions do not depend on the rate. Either, never both.
    """
    immature: Literal["include", "exclude"] = "include"
    """Rows whose labels were not final when they were built: take them as they are, a label of 0
    that may still become 1; or leave them out, which costs the latest days."""
    warm_start: str | None = None
    """A bundle to begin from: its alias, its name or its folder. It means the latest bundle of its
    line that has not learned from the last of these days, so that a retry begins where the first
    try did; days that it has learned are left out."""
    warm_first: Literal["refuse", "from_scratch"] = "refuse"
    """Where there is no such bundle yet; from_scratch learns all the days."""
    warm_optimizer: Literal["keep", "reset"] = "keep"
    """What the optimizers remember of the bundle's training: go on with it, or begin anew."""
    steps_per_checkpoint: Positive | None = 1000
    """Steps between checkpoints; none: at the end only."""
    num_checkpoints_kept: Positive = 2
    steps_per_log: Positive = 10
    """Steps between two points of the curves."""

    @model_validator(mode="after")
    def _rounds_what_is_kept_wider(self) -> "Train":
        if self.mixed_precision != "none" and self.precision == "float64":
            raise ValueError("mixed_precision = bfloat16 rounds float32: set precision to float32")
        return self


class Trees(Section):
    """Gradient-boosted trees as the reference."""

    num_rounds: Annotated[int, Field(gt=0, le=100_000)] = 200
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    num_leaves: Annotated[int, Field(ge=2, le=4096)] = 31
    min_rows_of_leaf: Positive = 100
    l2_penalty: Annotated[float, Field(ge=0)] = 1.0
    """Of a leaf's score, in units of curvature: about one click, or one conversion."""


class Evaluate(Section):
    """What the model is measured on."""

    days: DayRange
    """The test days; their predictions are pooled."""
    retrain: Literal["once", "daily"] = "once"
    """daily: each test day is predicted by a model trained on all days before it."""
    batch_size: Annotated[int, Field(gt=0, le=2**20)] = 8192
    num_bootstraps: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Draws of users behind every confidence interval."""
    reference: Literal["logistic_regression", "trees_apart", "trees_jointly"] = \
        "logistic_regression"
    """What the model is shown beside, fitted on the same samples: logistic regressions, or
    gradient-boosted trees for CTR and CVR apart, or as a pair by ESMM's loss (docs/gbt.md)."""
    trees: Trees = Trees()


class Config(Section):
    """One experiment, read by the Spark half and by the training half."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """The run's folder below runs_path."""
    runs_path: str = "runs"
    note: str = ""
    """Shown wherever figures are shown: what a reader must know of the data."""
    logs: Logs
    samples: Samples
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    model: Model = Model()
    embedding: Embedding = Embedding()
    train: Train
    evaluate: Evaluate
    simulate: Simulation | None = None
    """The world that esmm_dist.simulate draws the logs from, where they are drawn."""
    tune: Tune | None = None
    """How esmm_dist.compare chooses each method's learning rates; none: they are those of train."""
    audit: Audit = Audit()
    quality: Quality = Quality()
    calibrate: Calibrate = Calibrate()
    gate: Gate | None = None
    """What a model must show before it may serve; none: whatever is published serves."""
    publish: Publish = Publish()
    retraining: Retraining | None = None
    """How a schedule runs the experiment for every day anew; none: it is not scheduled."""
    score: Score = Score()
    tracking: Tracking | None = None
    """Where esmm_dist.track shows runs; none: a schedule does not track them."""

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        check_features(self.features)
        check_leaks(self.features, self.logs)
        check_sources(self.features, [snapshot.name for snapshot in self.logs.snapshots])
        check_renaming(self.features, self.logs, self.samples.group_key, self.score)
        check_columns(self.quality, ("group_id", *[feature.name for feature in self.features]))
        if self.train.days.last >= self.evaluate.days.first:
            raise ValueError(
                f"train.days end on {self.train.days.last}, evaluate.days begin on "
                f"{self.evaluate.days.first}: test days must lie after the training days"
            )
        if self.samples.fit_days.last >= self.evaluate.days.first:
            raise ValueError(
                f"samples.fit_days end on {self.samples.fit_days.last}, evaluate.days begin on "
                f"{self.evaluate.days.first}: vocabularies must not see test days"
            )
        check_num_days(self.train.days.first, self.evaluate.days.last)  # of the longest fold
        if self.embedding.expire_days is not None:
            for day in (self.train.days.first, self.evaluate.days.last):
                day_number(day)
        if self.tune is not None:
            self._check_validation_day()
        self._check_calibration()
        if self.train.unclicked == "corrected":
            check_correction(
                self.model.method, self.samples.unclicked_rate, self.samples.unclicked_days,
                self.learned_days,
            )
        return self

    def _check_validation_day(self) -> None:
        day = self.train.days.last
        if self.samples.fit_days.last >= day:
            raise ValueError(
                f"tune: the validation day is train.days.last, {day}, and samples.fit_days end on "
                f"{self.samples.fit_days.last}: let them end before it"
            )
        if self.train.days.first == day:
            raise ValueError(f"tune: train.days are {day} alone: give a day before it to train on")

    @property
    def learned_days(self) -> DayRange:
        """The days that some model of the run learns from."""
        last = self.train.days.last
        if self.evaluate.retrain == "daily":
            last = max(last, self.evaluate.days.last - timedelta(days=1))
        return DayRange(first=self.train.days.first, last=last)

    def _check_calibration(self) -> None:
        taught, tested = self.calibrate.days, self.evaluate.days
        if taught is not None and not tested.first <= taught.first <= taught.last < tested.last:
            raise ValueError(
                f"calibrate.days are {taught.first} to {taught.last}: they must be evaluate.days "
                f"({tested.first} to {tested.last}), and the last of these must come after them"
            )
