"""Waiting with a limit, so that a cancellation is never lost.

`asyncio.wait_for` of Python before 3.12 swallows one that comes in the moment in which what it
waits for is done: the task that was to end goes on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def happens_within_timeout(event: asyncio.Event, within_sec: float) -> bool:
    """Whether it does."""
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((waiter,), timeout=within_sec)
    finally:
        waiter.cancel()
    return event.is_set()


async def result_within_timeout(
    limit_sec: float, work: Awaitable[T], *, break_off: bool = True
) -> T:
    """What `work` gives. Raises asyncio.TimeoutError when it takes longer, and cancels it.

    Without `break_off` it goes on by itself, as a query of SQLite must: one that is cancelled may
    hang for ever.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=limit_sec)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        if break_off:
            task.cancel()
        else:  # nobody else sees its error
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
