"""Files by Hadoop's own interface, hence wherever Spark can read and write: local, hdfs, s3a, gs.

It knows paths and texts only, not what they mean.
"""

import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from pyspark.sql import SparkSession

from esmm_dist.samples.failures import naming_the_file, plain_path
from esmm_dist.storage.files import sync

Others = ParamSpec("Others")
Result = TypeVar("Result")


class Found(NamedTuple):
    """A file or a directory that lies directly in another one."""

    name: str
    num_bytes: int
    """0 of a directory."""
    modified_at: datetime
    is_directory: bool


def _naming_it(
    method: Callable[Concatenate["Files", str, Others], Result]
) -> Callable[Concatenate["Files", str, Others], Result]:
    """What a file system says of a path becomes an InputError that names it."""
    @wraps(method)
    def told(files: "Files", name: str, /, *others: Others.args, **named: Others.kwargs) -> Result:
        with naming_the_file(plain_path(f"{files.root}/{name}".rstrip("/"))):
            return method(files, name, *others, **named)

    return told


class Files:
    """The files below one directory.

    Raises:
        InputError: its file system is not there, or refuses.
    """

    def __init__(self, spark: SparkSession, root: str) -> None:
        context = spark.sparkContext
        assert context._jvm is not None and context._jsc is not None
        self._jvm: Any = context._jvm
        self._conf = context._jsc.hadoopConfiguration()
        self.root = root.rstrip("/") or "/"
        self._root = self._jvm.org.apache.hadoop.fs.Path(self.root)
        with naming_the_file(self.root):
            self._system = self._root.getFileSystem(self._conf)
        self._is_local = self._system.getUri().getScheme() == "file"

    def path(self, name: str) -> Any:
        """A Hadoop path below the root."""
        return self._jvm.org.apache.hadoop.fs.Path(f"{self.root}/{name}")

    @_naming_it
    def names(self, name: str) -> list[str]:
        """Names of what lies directly in a directory; none if it does not exist."""
        path = self.path(name)
        if not self._system.exists(path):
            return []
        return [status.getPath().getName() for status in self._system.listStatus(path)]

    @_naming_it
    def sizes(self, name: str) -> dict[str, int]:
        """Bytes by name of what lies directly in a directory; nothing if it does not exist."""
        path = self.path(name)
        if not self._system.exists(path):
            return {}
        found = self._system.listStatus(path)
        return {status.getPath().getName(): status.getLen() for status in found}

    @_naming_it
    def listing(self, name: str) -> list[Found]:
        """What lies directly in a directory, by name; nothing if it does not exist."""
        path = self.path(name)
        if not self._system.exists(path):
            return []
        found = [
            Found(
                status.getPath().getName(), 0 if status.isDirectory() else status.getLen(),
                datetime.fromtimestamp(status.getModificationTime() / 1000, UTC),
                status.isDirectory(),
            )
            for status in self._system.listStatus(path)
        ]
        return sorted(found)

    @_naming_it
    def exists(self, name: str) -> bool:
        """Whether there is a file or directory of that name."""
        return bool(self._system.exists(self.path(name)))

    @_naming_it
    def read(self, name: str) -> str:
        """The text of a file."""
        stream = self._system.open(self.path(name))
        try:
            charset = self._jvm.java.nio.charset.StandardCharsets.UTF_8
            return str(self._jvm.org.apache.commons.io.IOUtils.toString(stream, charset))
        finally:
            stream.close()

    @_naming_it
    def write(self, name: str, text: str) -> None:
        """Makes a file, or replaces it."""
        stream = self._system.create(self.path(name), True)
        stream.write(bytearray(text.encode()))
        stream.close()

    @_naming_it
    def create(self, name: str, text: str) -> bool:
        """Makes a file whole or not at all.

        Returns:
            False if there was one of that name, which stays as it was.
        """
        directory = name.rpartition("/")[0]
        self._system.mkdirs(self.path(directory))
        draft = f"{directory}/.{uuid.uuid4().hex}.draft"
        if self._is_local:
            return self._link(draft, name, text)
        return self._rename(draft, name, text)

    def _link(self, draft: str, name: str, text: str) -> bool:
        """A hard link is the one atomic create-if-absent of a whole file on a local disk."""
        draft_path, path = (self.path(n).toUri().getPath() for n in (draft, name))
        try:
            with open(draft_path, "x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft_path, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(draft_path)
        sync(Path(path).parent)
        return True

    def _rename(self, draft: str, name: str, text: str) -> bool:
        """HDFS renames atomically and refuses an existing name; object stores publish on close."""
        stream = self._system.create(self.path(draft), False)
        stream.write(bytearray(text.encode()))
        stream.close()
        try:
            context = self._jvm.org.apache.hadoop.fs.FileContext.getFileContext(
                self._system.getUri(), self._conf
            )
            none = self._jvm.org.apache.hadoop.fs.Options.Rename.NONE
            options = self._jvm.java.lang.reflect.Array.newInstance(none.getClass(), 1)
            self._jvm.java.lang.reflect.Array.set(options, 0, none)
            context.rename(self.path(draft), self.path(name), options)
        except Exception:
            self._system.delete(self.path(draft), False)
            if self.exists(name):
                return False
            raise
        return True

    @_naming_it
    def make_directory(self, name: str) -> None:
        """Makes a directory and those above it."""
        self._system.mkdirs(self.path(name))

    def rename(self, name: str, new_name: str) -> None:
        """Gives a file another name, which no file has."""
        if not self._system.rename(self.path(name), self.path(new_name)):
            raise OSError(f"{self.root}: {name} could not be renamed to {new_name}")

    def mark_as_new(self, name: str) -> None:
        """Sets the time at which a file was modified to now; object stores leave it as it is."""
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        self._system.setTimes(self.path(name), now_ms, -1)

    def delete(self, name: str) -> None:
        """Removes a file, or a directory with all that is in it, if it exists."""
        self._system.delete(self.path(name), True)

    def footer(self, name: str) -> Any:
        """The footer of a Parquet file."""
        hadoop = self._jvm.org.apache.parquet.hadoop
        file = hadoop.util.HadoopInputFile.fromPath(self.path(name), self._conf)
        reader = hadoop.ParquetFileReader.open(file)
        try:
            return reader.getFooter()
        finally:
            reader.close()
