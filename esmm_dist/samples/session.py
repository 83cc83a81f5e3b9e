"""The Spark session of a job: its settings, and silence where Spark would talk.

It knows nothing of logs or samples.
"""

import os
import sys
from typing import Any

from pyspark import SparkContext
from pyspark.sql import SparkSession

SETTINGS = {
    # Instants are in UTC; calendar days are computed from declared zones, never from this one.
    "spark.sql.session.timeZone": "UTC",
    # HotSpot never compiles a method above this many bytes: wide rows would run interpreted.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # Inferring filters from wide projections takes Spark's optimizer exponential time and memory.
    "spark.sql.constraintPropagation.enabled": "false",
    # Batches are bounded by their rows; to weigh them, Spark would add up all columns at each row.
    "spark.sql.execution.arrow.maxBytesPerBatch": "2147483647",
    # Else each expression made in Python asks the JVM several times where in Python it was made.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
}


# These log as errors, with stack traces, what reaches the job's caller as an exception anyway.
REPEATING_LOGGERS = (
    "org.apache.spark.executor.Executor",
    "org.apache.spark.scheduler.TaskSetManager",
    "org.apache.spark.sql.execution.datasources.FileFormatWriter",
)


def open_session(name: str) -> SparkSession:
    """The session that spark-submit prepared, or a local one where there is none."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    _quieten()
    builder = SparkSession.builder.appName(name)
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _quieten() -> None:
    """Lets errors through and no more.

    Spark sets its own level when its logging begins, which is with the context, and after that
    logs forty lines; so its logging is begun here, and then told to be quiet.
    """
    SparkContext._ensure_initialized()
    jvm: Any = SparkContext._jvm
    jvm.org.apache.spark.SparkConf().initializeLogIfNecessary(False)
    configurator, levels = (
        jvm.org.apache.logging.log4j.core.config.Configurator, jvm.org.apache.logging.log4j.Level
    )
    configurator.setRootLevel(levels.ERROR)
    for logger in REPEATING_LOGGERS:
        configurator.setLevel(logger, levels.OFF)
