"""A dispatcher in a process of its own, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal

from backend.config.backend_settings import BackendSettings
from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.command_publisher import CommandPublisher
from backend.dispatch.dispatcher import Dispatcher
from backend.dispatch.iot_data_publisher import IotDataPublisher
from backend.dispatch.mqtt_publisher import MqttPublisher
from backend.store.database import Database


async def run_dispatch_process(settings: BackendSettings, dispatch: DispatchSettings) -> None:
    """Raises what ended it, if no signal did."""
    database = Database(settings.database_url, direct_url=settings.database_direct_url)
    publisher = dispatch_process_publisher(settings, dispatch)
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


def dispatch_process_publisher(
    settings: BackendSettings, dispatch: DispatchSettings
) -> CommandPublisher:
    """AWS's data endpoint over HTTPS, or the MQTT broker of the settings."""
    endpoint = settings.iot_endpoint or ""
    wanted = dispatch.publisher
    if wanted == "auto":
        wanted = "iot-data" if ".amazonaws.com" in endpoint else "mqtt"
    if wanted == "iot-data":
        return IotDataPublisher(
            endpoint,
            region=settings.kinesis.region,
            parallel=dispatch.parallel,
            timeout_sec=dispatch.publish_timeout_sec,
        )
    return MqttPublisher(settings.mqtt, timeout_sec=dispatch.publish_timeout_sec)
