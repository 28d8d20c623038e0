"""
The emulator's database: pipelines, runs and the log of calls, in SQLite (a file, or memory).

Only SQL is here; what the records mean is in :mod:`.engine`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .files import privately
from .models import NodeRun, Pipeline, Run

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORMAT = 2  # grows with each change of the schema

_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (           -- a pipeline's object as it was: a resumed run needs its own
    id INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pipelines (
    id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL REFERENCES versions, key TEXT NOT NULL,
    created REAL NOT NULL, scheduled INTEGER NOT NULL DEFAULT 0, next_fire REAL, runs INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS due ON pipelines (next_fire) WHERE next_fire IS NOT NULL;
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline INTEGER NOT NULL REFERENCES pipelines,
    -- Its number among its pipeline's runs, from 1 without gaps: SQL's OFFSET would read all rows that it skips.
    sequence INTEGER NOT NULL,
    version INTEGER NOT NULL REFERENCES versions, trigger TEXT NOT NULL, params TEXT NOT NULL, started REAL NOT NULL,
    visible_at REAL NOT NULL, stopping REAL, ends_at REAL, outcome TEXT NOT NULL, executed INTEGER NOT NULL DEFAULT 0,
    nodes TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS history ON runs (pipeline, sequence);
CREATE INDEX IF NOT EXISTS hidden ON runs (pipeline, visible_at);
CREATE INDEX IF NOT EXISTS open_runs ON runs (id) WHERE ends_at IS NULL;
-- Counting 100,000 rows for each page of a history would take longer than the page.
CREATE TRIGGER IF NOT EXISTS counted AFTER INSERT ON runs BEGIN
    UPDATE pipelines SET runs = runs + 1 WHERE id = new.pipeline; END;
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, query TEXT NOT NULL, headers TEXT NOT NULL, body TEXT NOT NULL, status INTEGER,
    fault TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS calls_by_name ON calls (name);
"""

_RUN = "id, pipeline, version, trigger, params, started, visible_at, ends_at, outcome, stopping, executed"
_PIPELINE = (
    "SELECT p.id, p.version, p.key, v.body, p.created, p.scheduled, p.next_fire, p.runs"
    " FROM pipelines p JOIN versions v ON v.id = p.version"
)


def _dump_nodes(nodes: Iterable[NodeRun]) -> str:
    return _dump([asdict(node) for node in nodes])


def _dump(value: Any) -> str:
    # ASCII, since SQLite takes no text with halves of surrogate pairs, and JSON may hold some.
    return json.dumps(value)


def _pipeline(row: sqlite3.Row) -> Pipeline:
    fields = dict(row)
    body = json.loads(fields["body"])
    if not isinstance(body.get("data") if isinstance(body, dict) else None, dict):
        raise ValueError(f"pipeline {fields['id']} is no object with data")
    return Pipeline(**fields | {"body": body, "scheduled": bool(fields["scheduled"])})


def _run(row: sqlite3.Row) -> Run:
    fields = dict(row)
    nodes = tuple(NodeRun(**node) for node in json.loads(fields.pop("nodes", "[]")))
    return Run(
        pipeline_id=fields.pop("pipeline"),
        params=json.loads(fields.pop("params")),
        executed=bool(fields.pop("executed")),
        nodes=nodes,
        **fields,
    )


def _claim(path: str) -> IO[bytes]:
    """
    Lock a database against other emulators: they would take its runs for those of a dead one.

    The lock is released when the returned file is closed or the process ends, however that ends.
    """
    try:
        if not path or (Path(path).exists() and not Path(path).is_file()):
            raise OSError(errno.EINVAL, "it is no file")
        lock = os.fdopen(privately(f"{path}.lock", os.O_RDWR | os.O_CREAT), "r+b")
        # SQLite creates the files beside a database with its rights, but leaves existing ones as they are.
        for name in (path, *(f"{path}{end}" for end in ("-wal", "-shm") if Path(f"{path}{end}").exists())):
            open(name, "ab", opener=privately).close()
    except OSError as error:
        raise OSError(f"the state can't be kept in {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ValueError(
            f"{path} is in use by another emulator: stop that one, or give this one another file"
        ) from None
    return lock


class Store:
    """
    One SQLite database. It has no lock of its own: the engine locks it.

    :param path: a file, created if there is none; ``:memory:`` by default.
    :raises ValueError: when another emulator uses the file, or it is no database.
    :raises OSError: when the file can't be created.
    """

    def __init__(self, path: str = ":memory:") -> None:
        self._claim = None if path == ":memory:" else _claim(path)
        try:
            self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._sql.row_factory = sqlite3.Row
            # A killed emulator loses nothing; a machine that loses power may lose the last moments of a demo.
            self._check_format(path)
            self._sql.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)
            self._check_content(path)
        except sqlite3.Error as error:
            raise ValueError(f"the state can't be kept in {path}: {error}") from error

    def _check_content(self, path: str) -> None:
        """Read all records once: a damaged database is refused here and not in the middle of a demo."""
        try:
            self.pipelines()
            self.open_runs()
            problem = self._value("PRAGMA quick_check(1)")
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            problem = str(error)
        if problem != "ok":
            raise ValueError(f"the state in {path} is damaged ({problem:.200}): give this one another file")

    def _check_format(self, path: str) -> None:
        made = self._value("SELECT count(*) FROM sqlite_master WHERE name = 'runs'")
        if made and self._value("PRAGMA user_version") != _FORMAT:
            raise ValueError(f"{path} was written by another version of the emulator: give this one another file")
        self._sql.execute(f"PRAGMA user_version = {_FORMAT}")

    def close(self) -> None:
        """Close the database."""
        self._sql.close()
        if self._claim:
            self._claim.close()

    def clear(self) -> None:
        """Delete everything; ids begin at 1 again."""
        for table in ("runs", "pipelines", "versions", "calls", "sqlite_sequence"):
            self._sql.execute(f"DELETE FROM {table}")

    def _one(self, sql: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._sql.execute(sql, values).fetchone()
        return row

    def _value(self, sql: str, *values: object) -> Any:
        row = self._one(sql, *values)
        return row[0] if row else None

    # Pipelines

    def add_pipeline(self, body: dict[str, Any], key: str, created: float) -> int:
        """Insert a pipeline and return its id."""
        added = self._sql.execute(
            "INSERT INTO pipelines (version, key, created) VALUES (?, ?, ?)", (self._add_version(body), key, created)
        )
        return int(added.lastrowid or 0)

    def change_pipeline(self, pipeline_id: int, body: dict[str, Any], key: str) -> None:
        """Replace a pipeline's object; its runs keep the one that they started with."""
        self._sql.execute(
            "UPDATE pipelines SET version = ?, key = ? WHERE id = ?", (self._add_version(body), key, pipeline_id)
        )

    def _add_version(self, body: dict[str, Any]) -> int | None:
        return self._sql.execute("INSERT INTO versions (body) VALUES (?)", (_dump(body),)).lastrowid

    def delete_pipeline(self, pipeline_id: int) -> None:
        """Delete a pipeline, after its runs."""
        self._sql.execute("DELETE FROM pipelines WHERE id = ?", (pipeline_id,))

    def pipeline(self, pipeline_id: int) -> Pipeline | None:
        """Return one pipeline."""
        row = self._one(f"{_PIPELINE} WHERE p.id = ?", pipeline_id)
        return _pipeline(row) if row else None

    def pipelines(self) -> list[Pipeline]:
        """Return all pipelines, oldest first."""
        return [_pipeline(row) for row in self._sql.execute(f"{_PIPELINE} ORDER BY p.id")]

    def run_count(self, pipeline_id: int) -> int | None:
        """Return how many runs a pipeline has; None if there is no such pipeline."""
        count: int | None = self._value("SELECT runs FROM pipelines WHERE id = ?", pipeline_id)
        return count

    def has_key(self, key: str, other_than: int = 0) -> bool:
        """Whether a pipeline has this pipelineKey."""
        return self._one("SELECT 1 FROM pipelines WHERE key = ? AND id != ?", key, other_than) is not None

    def version(self, version: int) -> dict[str, Any]:
        """Return a pipeline's object as it was when a run started."""
        body: dict[str, Any] = json.loads(self._value("SELECT body FROM versions WHERE id = ?", version))
        return body

    def schedule(self, pipeline_id: int, scheduled: bool, next_fire: float | None) -> None:
        """Turn a pipeline's schedule on or off, and save when it fires next."""
        self._sql.execute(
            "UPDATE pipelines SET scheduled = ?, next_fire = ? WHERE id = ?", (scheduled, next_fire, pipeline_id)
        )

    def due(self, now: float) -> Pipeline | None:
        """Return the pipeline whose schedule fires first, if that is due."""
        row = self._one(f"{_PIPELINE} WHERE p.next_fire <= ? ORDER BY p.next_fire LIMIT 1", now)
        return _pipeline(row) if row else None

    # Runs

    def add_run(self, run: Run) -> Run:
        """Insert a run and return it with its id."""
        added = self._sql.execute(
            "INSERT INTO runs"
            " (pipeline, sequence, version, trigger, params, started, visible_at, ends_at, outcome, executed, nodes)"
            " SELECT id, runs + 1, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM pipelines WHERE id = ?",
            (
                run.version,
                run.trigger,
                _dump(run.params),
                run.started,
                run.visible_at,
                run.ends_at,
                run.outcome,
                run.executed,
                _dump_nodes(run.nodes),
                run.pipeline_id,
            ),
        )
        return replace(run, id=int(added.lastrowid or 0))

    def add_history(self, run: Run, moments: Iterable[float]) -> None:
        """Insert many runs like one that has ended, each and its nodes at a moment of its own."""
        # Of a node's JSON the last two fields alone change: dumping all of it 100,000 times would take seconds.
        timeless = [asdict(node) for node in run.nodes]
        for node in timeless:
            del node["start"], node["end"]
        beginnings = [_dump(node).removesuffix("}") for node in timeless]

        def nodes_at(at: float) -> str:
            return "[" + ", ".join(f'{node}, "start": {at}, "end": {at}}}' for node in beginnings) + "]"

        self._sql.execute("BEGIN")
        self._sql.executemany(
            "INSERT INTO runs"
            " (pipeline, sequence, version, trigger, params, started, visible_at, ends_at, outcome, nodes)"
            " SELECT id, runs + 1, ?, ?, '{}', ?, ?, ?, ?, ? FROM pipelines WHERE id = ?",
            ((run.version, run.trigger, at, at, at, run.outcome, nodes_at(at), run.pipeline_id) for at in moments),
        )
        self._sql.execute("COMMIT")

    def change_run(self, run: Run) -> None:
        """Save what a stop, a resume or a job changes in a run."""
        self._sql.execute(
            "UPDATE runs SET stopping = ?, ends_at = ?, outcome = ?, executed = ?, nodes = ? WHERE id = ?",
            (run.stopping, run.ends_at, run.outcome, run.executed, _dump_nodes(run.nodes), run.id),
        )

    def run(self, run_id: int) -> Run | None:
        """Return one run with its nodes."""
        row = self._one(f"SELECT {_RUN}, nodes FROM runs WHERE id = ?", run_id)
        return _run(row) if row else None

    def runs(
        self, pipeline_id: int, now: float, *, ascending: bool, size: int = -1, offset: int = 0
    ) -> tuple[list[Run], int]:
        """Return a page of a pipeline's visible runs, without their nodes, and how many are visible in all."""
        order = "ASC" if ascending else "DESC"
        hidden = self._value("SELECT count(*) FROM runs WHERE pipeline = ? AND visible_at > ?", pipeline_id, now)
        total = (self.run_count(pipeline_id) or 0) - hidden
        if hidden or size < 0:
            rows = self._sql.execute(
                f"SELECT {_RUN} FROM runs WHERE pipeline = ? AND visible_at <= ?"
                f" ORDER BY sequence {order} LIMIT ? OFFSET ?",
                (pipeline_id, now, size, offset),
            )
        else:
            first, last = (offset + 1, offset + size) if ascending else (total - offset - size + 1, total - offset)
            rows = self._sql.execute(
                f"SELECT {_RUN} FROM runs WHERE pipeline = ? AND sequence BETWEEN ? AND ? ORDER BY sequence {order}",
                (pipeline_id, first, last),
            )
        return [_run(row) for row in rows], total

    def open_runs(self) -> list[Run]:
        """Return runs without a planned end: executed ones under way, and those that run until they are stopped."""
        return [_run(row) for row in self._sql.execute(f"SELECT {_RUN}, nodes FROM runs WHERE ends_at IS NULL")]

    def delete_runs(self, pipeline_id: int, first: int, last: int) -> int:
        """Delete a pipeline's runs from one id to another, and return how many."""
        self._sql.execute("BEGIN")
        sequence = self._value("SELECT min(sequence) FROM runs WHERE pipeline = ? AND id >= ?", pipeline_id, first)
        deleted = self._sql.execute(
            "DELETE FROM runs WHERE pipeline = ? AND id BETWEEN ? AND ?", (pipeline_id, first, last)
        ).rowcount
        self._sql.execute(
            "UPDATE runs SET sequence = sequence - ? WHERE pipeline = ? AND sequence >= ?",
            (deleted, pipeline_id, sequence),
        )
        self._sql.execute("UPDATE pipelines SET runs = runs - ? WHERE id = ?", (deleted, pipeline_id))
        self._sql.execute("COMMIT")
        return deleted

    # Calls

    def add_call(self, at: float, name: str, method: str, path: str, query: str, headers: str, body: str) -> int:
        """Log a request on its arrival and return its number; about the newest 100,000 are kept."""
        added = self._sql.execute(
            "INSERT INTO calls (at, name, method, path, query, headers, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (at, name, method, path, query, headers, body),
        )
        number = int(added.lastrowid or 0)
        if number % 10_000 == 0:
            self._sql.execute("DELETE FROM calls WHERE id <= ?", (number - 100_000,))
        return number

    def answer_call(self, call_id: int, status: int | None, fault: str) -> None:
        """Log how a request was answered."""
        self._sql.execute("UPDATE calls SET status = ?, fault = ? WHERE id = ?", (status, fault, call_id))

    def calls(self, name: str = "", limit: int = -1) -> list[dict[str, Any]]:
        """Return the logged requests, newest last."""
        where, values = ("WHERE name = ?", [name]) if name else ("", [])
        rows = self._sql.execute(
            f"SELECT * FROM (SELECT * FROM calls {where} ORDER BY id DESC LIMIT ?) ORDER BY id", [*values, limit]
        )
        return [dict(row) for row in rows]

    def call_counts(self) -> dict[str, int]:
        """Return how often each call was made."""
        return dict(self._sql.execute("SELECT name, count(*) FROM calls GROUP BY name").fetchall())

    def forget_calls(self) -> None:
        """Clear the log of requests."""
        self._sql.execute("DELETE FROM calls")
