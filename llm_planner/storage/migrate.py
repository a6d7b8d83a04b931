"""Migrations: Alembic's scripts of the core and of the app, run inside our own transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from ..errors import StartError

CORE = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Migrations:
    """One folder of scripts with its own version table."""

    folder: Path
    version_table: str

    def _config(self, **attributes: Any) -> Config:
        config = Config(output_buffer=attributes.pop("output_buffer", None), stdout=StringIO())
        config.set_main_option("script_location", str(self.folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes.update(attributes, version_table=self.version_table)
        return config

    @property
    def head(self) -> str | None:
        return ScriptDirectory.from_config(self._config()).get_current_head()

    def upgrade(self, conn: Connection) -> None:
        """Bring the schema to the head. Each step may be run again after a crash in the middle."""
        command.upgrade(self._config(connection=conn), "head")

    def current(self, conn: Connection) -> str | None:
        made = MigrationContext.configure(conn, opts={"version_table": self.version_table})
        return made.get_current_revision()

    def ddl(self, dialect: str) -> str:
        """The whole schema as SQL for `mysql` or `sqlite`."""
        out = StringIO()
        command.upgrade(self._config(dialect=dialect, output_buffer=out), "head", sql=True)
        return out.getvalue()


def core_migrations() -> Migrations:
    return Migrations(CORE, "alembic_version")


def app_migrations(folder: Path | None) -> list[Migrations]:
    """The app's own scripts, if it has any. Raises StartError for a folder without them."""
    if folder is None:
        return []
    if not (folder / "env.py").is_file():
        raise StartError(f"migrations: {folder} has no env.py")
    return [Migrations(folder, "alembic_version_app")]


def behind(conn: Connection, all_migrations: Sequence[Migrations]) -> list[str]:
    """The version tables that are not at their head."""
    return [item.version_table for item in all_migrations if item.current(conn) != item.head]


def run_migrations() -> None:
    """What an Alembic `env.py` calls: runs its scripts online on our connection, or offline as SQL."""
    attributes = context.config.attributes
    options: dict[str, Any] = {
        "version_table": attributes["version_table"],
        "transaction_per_migration": False,
    }
    if "connection" in attributes:
        context.configure(connection=attributes["connection"], **options)
        context.run_migrations()
    else:
        context.configure(
            dialect_name=attributes["dialect"],
            dialect_opts={"paramstyle": "named"},
            output_buffer=context.config.output_buffer,
            **options,
        )
        context.run_migrations()
