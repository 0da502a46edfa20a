"""Waiting with a limit, so that a cancellation is never lost.

`asyncio.wait_for` of Python before 3.12 swallows one that comes in the moment in which what it
waits for is done: the task that was to end goes on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def happens(event: asyncio.Event, within_sec: float) -> bool:
    """Whether it does."""
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((waiter,), timeout=within_sec)
    finally:
        waiter.cancel()
    return event.is_set()


async def within(limit_sec: float, work: Awaitable[T]) -> T:
    """What `work` gives. Raises asyncio.TimeoutError, and cancels it, when it takes longer."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=limit_sec)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        task.cancel()
