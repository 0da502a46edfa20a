"""What all tables share: column types that mean the same on PostgreSQL and SQLite."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, Integer, MetaData, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

from backend.store.utc_time import UtcDateTime

VEN_ID = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared byte by byte: a third of the cost of a language's order in the largest index."""
JSON_DOCUMENT = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
WATTS = JSON(none_as_null=True).with_variant(ARRAY(Integer), "postgresql")
"""One number a load, in the order of the load set; null where nothing was read."""
ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only for a key that is named INTEGER."""

VenId = Annotated[str, mapped_column(VEN_ID)]
Moment = Annotated[datetime, mapped_column(UtcDateTime)]
Document = Annotated[dict[str, Any], mapped_column(JSON_DOCUMENT)]
Watts = Annotated[list[int | None], mapped_column(WATTS)]
RowId = Annotated[int, mapped_column(ROW_ID, primary_key=True, autoincrement=True)]


class TableBase(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        str: Text,
        datetime: UtcDateTime,
        dict[str, Any]: JSON_DOCUMENT,
        list[Any]: JSON_DOCUMENT,
        list[int | None]: WATTS,
    }
