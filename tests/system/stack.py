"""
An Airflow of real, separate processes in a folder of its own, in two kinds: LocalExecutor on SQLite, and CeleryExecutor
with two workers on Redis and PostgreSQL.

A :class:`Stack` holds nothing but paths and ports, all of them kept in its folder: so each of the test processes can
have one, and it is the same Airflow.
"""

import fcntl
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from .airflow_api import AirflowApi
from .processes import Process, kept_port, until

KINDS = ("local", "celery")
DAGS = Path(__file__).parent / "dags"
BIN = Path(sys.executable).parent
START_SECONDS = 240
POSTGRES_USER = "postgres" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""

# What is faster here than by default, so that a death is noticed within seconds.
FAST = {
    "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    # A task that the broker has lost with its worker is queued again.
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "45",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


class Stack:
    """
    One Airflow.

    :param kind: ``local`` or ``celery``.
    :param folder: where all that it has is kept.
    :param env: the environment that its processes get beside its own settings.
    :param settings: settings of Airflow in place of its own, as ``{"CORE__DAGS_FOLDER": …}``.
    """

    def __init__(self, kind: str, folder: Path, env: dict[str, str], settings: dict[str, str] | None = None) -> None:
        self.kind, self.folder = kind, folder
        folder.mkdir(exist_ok=True)
        port, execution_port = kept_port(folder / "api.port"), kept_port(folder / "execution.port")
        self.api = AirflowApi(f"http://127.0.0.1:{port}", folder / "api.lock")
        self.env = {**env, "AIRFLOW_HOME": str(folder), **_settings(port, execution_port), **self._services_settings()}
        self.env |= {f"AIRFLOW__{name}": value for name, value in (settings or {}).items()}
        airflow = str(BIN / "airflow")
        # People's and tasks' requests go to servers of their own: in one process, on SQLite, they lock each other out
        # (Airflow's audit log commits in the event loop that the thread which holds the database waits for).
        server = (airflow, "api-server", "--apps")
        self.api_servers = [
            self._process("api-server", *server, "core", "--port", str(port)),
            self._process("execution-server", *server, "execution", "--port", str(execution_port)),
        ]
        self.dag_processor = self._process("dag-processor", airflow, "dag-processor")
        self.scheduler = self._process("scheduler", airflow, "scheduler", "--skip-serve-logs")
        self.triggerer = self._process("triggerer", airflow, "triggerer", "--skip-serve-logs")
        self.workers = [
            self._process(
                *(name, airflow, "celery", "worker", "--celery-hostname", f"{name}@%h"),
                *("--pid", str(folder / f"{name}.celery.pid"), "--skip-serve-logs"),
            )
            for name in (("worker-1", "worker-2") if kind == "celery" else ())
        ]

    def start(self) -> None:
        """Start everything; :meth:`until_ready` waits for it."""
        if self.kind == "celery":
            self._start_services()
        subprocess.run(
            [BIN / "airflow", "db", "migrate"], env=self.env, check=True, stdout=subprocess.DEVNULL, timeout=180
        )
        for process in (*self.api_servers, self.dag_processor, self.scheduler, self.triggerer, *self.workers):
            process.start()

    def until_ready(self) -> None:
        """Wait until Airflow takes DAG runs."""
        until(lambda: self.api.is_ready(), START_SECONDS, lambda: f"{self.kind}: {self.logs()}", 1)

    def logs(self) -> str:
        """The ends of all logs, for when it doesn't come up."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in sorted(self.folder.glob("*.log"))
        )

    @contextmanager
    def used(self, *, alone: bool = False):
        """Use the stack beside other tests; or alone, to strike what others need."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield self

    def sql(self, statement: str, *values: object) -> list[tuple]:
        """Do to Airflow's database what can't be brought about otherwise within minutes."""
        if self.kind == "celery":
            import psycopg2

            connection = psycopg2.connect(f"host=127.0.0.1 port={self.postgres_port} user=airflow dbname=airflow")
            statement = statement.replace("?", "%s")
        else:
            connection = sqlite3.connect(self.folder / "airflow.db", timeout=60)
        try:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows
        finally:
            connection.close()

    # --- Redis and PostgreSQL ---------------------------------------------------------------------------------------

    def _services_settings(self) -> dict[str, str]:
        if self.kind == "local":
            return {
                "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
                # SQLite's own patience with other writers, 5 s, is too little for so many processes on a busy machine.
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder / 'airflow.db'}?timeout=60",
            }
        self.redis_port = kept_port(self.folder / "redis.port")
        self.postgres_port = kept_port(self.folder / "postgres.port")
        database = f"airflow@127.0.0.1:{self.postgres_port}/airflow"
        return {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{database}",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "6",
            "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
        }

    def _start_services(self) -> None:
        redis = self._process(
            *("redis", str(shutil.which("redis-server")), "--port", str(self.redis_port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
        )
        redis.start()
        data = self.folder / "postgres"
        data.mkdir(mode=0o700)
        if POSTGRES_USER:
            account = pwd.getpwnam(POSTGRES_USER)
            os.chown(data, account.pw_uid, account.pw_gid)
        where = {"env": self.env, "user": POSTGRES_USER, "cwd": data, "check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([_postgres("initdb"), "-D", data, "-A", "trust", "-U", "airflow", "--no-sync"], **where)
        server = [_postgres("postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(self.postgres_port), "-k", ""]
        server += ["-c", "fsync=off", "-c", "max_connections=300"]
        Process("postgres", server, self.env, self.folder, POSTGRES_USER).start()
        create = [_postgres("createdb"), "-h", "127.0.0.1", "-p", str(self.postgres_port), "-U", "airflow", "airflow"]
        until(
            lambda: subprocess.run(create, env=self.env, stderr=subprocess.DEVNULL, check=False).returncode == 0,
            *(60, lambda: f"PostgreSQL doesn't come up: {self.logs()}"),
        )

    def _process(self, name: str, *argv: str) -> Process:
        return Process(name, list(argv), self.env, self.folder)


def _settings(port: int, execution_port: int) -> dict[str, str]:
    settings = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(DAGS),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__PARALLELISM": "24",
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "24",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{execution_port}/execution/",
        "CORE__FERNET_KEY": "b25seS1mb3ItdGhlLXN5c3RlbS10ZXN0cy0xMjM0NTY=",
        "API__HOST": "127.0.0.1",
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__SECRET_KEY": "only for the system tests",
        "API_AUTH__JWT_SECRET": "only for the system tests, and long enough to be taken for a secret" * 2,
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        **FAST,
    }
    return {f"AIRFLOW__{name}": value for name, value in settings.items()}


def _postgres(program: str) -> str:
    """One of PostgreSQL's programs, which Debian doesn't put in the path."""
    found = shutil.which(program) or next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))[-1:]), None)
    assert found, f"There is no {program}: run tests/system/setup.sh"
    return str(found)
