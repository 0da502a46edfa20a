"""What is believed of what a VEN says it draws, sheds and could shed: wherever the fleet's figures
are summed, shared out or shown, these expressions stand, and not the columns of `ven_state`.

Nobody can shed more than it was ever seen to draw, or than its panel's rating, and nobody can shed
less than nothing. Of a VEN that is not trusted, with neither of the two, nothing is believed.
The statement must have both `vens` and `ven_state`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func

from backend.store.tables import VEN_STATE, VENS

_RATED_KW: ColumnElement[Any] = case((VEN_STATE.c.panel_max_kw > 0, VEN_STATE.c.panel_max_kw))
_SHEDS_KW: ColumnElement[Any] = VEN_STATE.c.shed_power_kw


def _within(
    value_kw: ColumnElement[Any], bound_kw: ColumnElement[Any], *, least_kw: float | None = None
) -> ColumnElement[Any]:
    """`value_kw`, at most a bound that may be NULL (none), and at least `least_kw`."""
    kept: list[Any] = [(value_kw > bound_kw, bound_kw)]
    if least_kw is not None:
        kept.insert(0, (value_kw < least_kw, least_kw))
    return case(*kept, else_=value_kw)


def believed_ven_rated_kw() -> ColumnElement[Any]:
    """Its panel's rating; NULL when it says none that can be one."""
    return _RATED_KW


def believed_ven_highest_kw() -> ColumnElement[Any]:
    """The most it was ever seen to draw, within its rating; NULL when it is not known."""
    return _within(VEN_STATE.c.highest_power_kw, _RATED_KW, least_kw=0.0)


def believed_ven_draw_kw() -> ColumnElement[Any]:
    """What it draws now; below 0 where it feeds in. Neither is more than its rating."""
    used_kw = VEN_STATE.c.used_power_kw
    return case((used_kw > _RATED_KW, _RATED_KW), (used_kw < -_RATED_KW, -_RATED_KW), else_=used_kw)


def _most_kw() -> ColumnElement[Any]:
    """It can shed no more; NULL when nothing is known of a VEN that is trusted."""
    most_kw = func.coalesce(believed_ven_highest_kw(), _RATED_KW)
    return case((and_(most_kw.is_(None), ~VENS.c.trusted), 0.0), else_=most_kw)


def believed_ven_shed_kw() -> ColumnElement[Any]:
    """What it could shed now, beyond what it sheds; NULL when it does not say."""
    return _within(VEN_STATE.c.shed_available_kw, _most_kw(), least_kw=0.0)


def believed_ven_shedding_kw() -> ColumnElement[Any]:
    """What it sheds now; below 0 where it draws more. NULL when it does not say."""
    most_kw = _most_kw()
    return case((most_kw < _SHEDS_KW, most_kw), (-most_kw > _SHEDS_KW, -most_kw), else_=_SHEDS_KW)


def believed_ven_comes_back_kw() -> ColumnElement[Any]:
    """What it sheds for an event, which it could shed again once that is over."""
    sheds = and_(VEN_STATE.c.event_id.is_not(None), _SHEDS_KW > 0)
    return case((sheds, believed_ven_shedding_kw()), else_=0.0)


def believed_ven_shed_in_all_kw() -> ColumnElement[Any]:
    """What it could shed now with what it sheds for an event; NULL when it does not say.

    What it sheds is not in what it was seen to draw when it was first heard in that event.
    """
    highest_kw = believed_ven_highest_kw() + believed_ven_comes_back_kw()
    most_kw = func.coalesce(_within(highest_kw, _RATED_KW), _RATED_KW)
    said_kw = believed_ven_shed_kw() + believed_ven_comes_back_kw()
    return _within(said_kw, most_kw)


def believed_ven_raise_kw() -> ColumnElement[Any]:
    """So much more it could draw: up to the most it was ever seen to; NULL when not known."""
    return believed_ven_highest_kw() - believed_ven_draw_kw()
