"""A choice of VENs by what is said of them: tags, feeders, zones, ids, groups.

It is kept as JSON with the event: {"tags": […], "feeders": […], "zones": […], "ven_ids": […],
"groups": {name: such a choice}}. Of one property any value fits; all properties that are named
must. It is made anew each time it is asked, so VENs that come to fit later are in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, true
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text

from backend.store.programme_tables import VenGroupRow
from backend.store.tables import VENS


class VenSelectionUnknown(Exception):
    """A group that does not exist: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no group {name!r}")
        self.name = name


async def with_selected_groups(
    connection: AsyncConnection, selection: Mapping[str, Any]
) -> dict[str, Any]:
    """`selection` with the choices that its groups stand for. Raises VenSelectionUnknown."""
    names: Sequence[str] = selection.get("groups") or ()
    rows = await connection.execute(
        select(VenGroupRow.name, VenGroupRow.selection).where(VenGroupRow.name.in_(list(names)))
    )
    found = {row.name: row.selection for row in rows}
    for name in names:
        if name not in found:
            raise VenSelectionUnknown(name)
    chosen = {key: value for key, value in selection.items() if value and key != "groups"}
    return {**chosen, "groups": found} if found else chosen


def selected_vens(selection: Mapping[str, Any] | None, dialect: str) -> ColumnElement[bool]:
    """Whether a row of `vens` is in the choice; all are when there is none."""
    if not selection:
        return true()
    fits: list[ColumnElement[bool]] = []
    if selection.get("feeders"):
        fits.append(VENS.c.feeder.in_(list(selection["feeders"])))
    if selection.get("zones"):
        fits.append(VENS.c.zone.in_(list(selection["zones"])))
    if selection.get("ven_ids"):
        fits.append(VENS.c.id.in_(list(selection["ven_ids"])))
    if selection.get("tags"):
        fits.append(_has_tag(list(selection["tags"]), dialect))
    if selection.get("groups"):
        groups: Mapping[str, Any] = selection["groups"]
        fits.append(or_(*(selected_vens(group, dialect) for group in groups.values())))
    return and_(*fits)


def _has_tag(tags: list[str], dialect: str) -> ColumnElement[bool]:
    if dialect == "postgresql":
        # A tag is a text in a JSON list; `?|` is written as its function, for drivers that read ?
        return func.jsonb_exists_any(VENS.c.tags, sql_cast(tags, ARRAY(Text)))
    each = func.json_each(VENS.c.tags).table_valued("value")
    return select(literal(1)).select_from(each).where(each.c.value.in_(tags)).exists()
