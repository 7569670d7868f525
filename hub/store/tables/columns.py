"""What all tables share: their metadata, columns of instants, and indexes of some rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

#: SQLite gives rising row numbers to INTEGER PRIMARY KEY alone.
SERIAL = BigInteger().with_variant(Integer, "sqlite")


def instant(name: str, *, optional: bool = False) -> Column[int]:
    """Return a column for one instant, in microseconds since 1970 UTC."""
    return Column(name, BigInteger, nullable=optional)


def partial_index(name: str, condition: str, *columns: Column[Any], unique: bool = False) -> Index:
    """Index only the rows that ``condition`` (SQL) names: a row is in few such indexes at a time, so writes stay cheap.

    Both engines write it alike. SQLAlchemy's own arguments for it load the dialects of both into every process.
    """
    return Index(name, *columns, unique=unique, info={_CONDITION: condition})


_CONDITION = "condition"


@compiles(CreateIndex)
def _create_index(created: CreateIndex, compiler: DDLCompiler, **named: Any) -> str:
    statement = compiler.visit_create_index(created, **named)  # type: ignore[no-untyped-call]  # the library types it not
    condition = created.element.info.get(_CONDITION)
    return f"{statement} WHERE {condition}" if condition else statement
