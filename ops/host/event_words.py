"""What an event does, in plain words: for `watch`, `status` and the answer to `send-event`."""

from __future__ import annotations

from typing import Any

from ops.host.terminal import terminal_clock_text, terminal_kw_text

_LATEST_TS = 32_503_680_000
"""The year 3000: an end after it, or none that is a number, is not said."""


def event_words(
    kind: str,
    power_kw: Any,
    end_ts: Any,
    *,
    is_test: bool = False,
    is_failsafe: bool = False,
    is_dry_run: bool = False,
    is_export: bool = False,
    also_fed_in_kw: Any = None,
) -> str:
    """`kind`: `shed`, `limit` or `load_up`; `power_kw`: what it sheds, allows or raises (kW);
    `end_ts`: epoch s, None until further notice; `is_export`: the limit is of what is fed in;
    `also_fed_in_kw`: what one of what is drawn allows to be fed in."""
    power = terminal_kw_text(power_kw)
    if kind == "limit":
        what = "what the site feeds in" if is_export else "the site"
        both = "" if also_fed_in_kw is None else f", {terminal_kw_text(also_fed_in_kw)} fed in"
        done = f"Keeping {what} at or under {power}{both}"
        asked = f"keep {what} at or under {power}{both}"
    elif kind == "load_up":
        done, asked = f"Drawing {power} more", f"draw {power} more"
    else:
        done, asked = f"Shedding {power}", f"shed {power}"
    words = f"Would {asked}" if is_dry_run else done
    if isinstance(end_ts, (int, float)) and abs(end_ts) < _LATEST_TS:
        words += f" until {terminal_clock_text(end_ts)}"
    elif end_ts is None:
        words += " until further notice"
    if is_failsafe:
        words += ": the failsafe limit, as nothing is heard of its sender"
    return f"Test: {words}" if is_test else words
