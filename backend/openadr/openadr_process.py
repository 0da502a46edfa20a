"""The process `python -m backend openadr`: one VEN at one VTN, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal

from backend.openadr.openadr3_service import OpenAdr3Service
from backend.openadr.openadr20b_service import OpenAdr20bService
from backend.openadr.openadr_settings import OpenAdrSettings
from backend.store.database import Database


async def run_openadr_process(database_url: str, settings: OpenAdrSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = Database(database_url)
    try:
        service = OpenAdr20bService if settings.version == "2.0b" else OpenAdr3Service
        await service(database, settings).run(stop)
    finally:
        await database.close()
