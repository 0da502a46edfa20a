"""A dispatcher in a process of its own, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal

from backend.dispatch.publisher import make_publisher
from backend.dispatch.service import Dispatcher
from backend.dispatch.settings import DispatchSettings
from backend.settings import Settings
from backend.store.database import Database


async def run(settings: Settings, dispatch: DispatchSettings) -> None:
    """Raises what ended it, if no signal did."""
    database = Database(settings.database_url)
    publisher = make_publisher(settings, dispatch)
    dispatcher = Dispatcher(database, publisher, dispatch, topic=settings.mqtt.topic_commands)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.create_task(dispatcher.run())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        work.cancel()
        stopped.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)
        await database.close()
