"""AWS IoT Core's data endpoint: an HTTPS request a command, many at a time.

One MQTT connection to AWS carries at most 100 publishes a second; this way has no such limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from backend.dispatch.command_publisher import CommandPublisherMessage, CommandPublisherOutcome
from backend.store.utc_time import utc_now


class IotDataPublisher:
    """boto3's `iot-data`, in as many threads as connections.

    Credentials come as boto3 finds them; they need `iot:Publish` on `ven/cmd/*`.
    """

    def __init__(
        self, endpoint: str, *, region: str | None, parallel: int, timeout_sec: float
    ) -> None:
        self._endpoint = endpoint if "://" in endpoint else f"https://{endpoint}"
        self._region = region
        self._parallel = parallel
        self._timeout_sec = timeout_sec
        self.at_once = 4 * parallel
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="iot-data")
        self._client: Any = None
        self._problem: str | None = None

    async def open(self) -> None:
        """Each request connects by itself."""

    async def publish(
        self, messages: Sequence[CommandPublisherMessage]
    ) -> list[CommandPublisherOutcome]:
        loop = asyncio.get_running_loop()
        if self._client is None:
            self._client = await loop.run_in_executor(self._threads, self._make_client)
        begin_by = time.monotonic() + self._timeout_sec / 4
        outcomes = await asyncio.gather(
            *(
                loop.run_in_executor(self._threads, self._send, message, begin_by)
                for message in messages
            )
        )
        errors = [outcome.error for outcome in outcomes if outcome.error]
        self._problem = errors[0] if len(errors) == len(outcomes) and errors else None
        return list(outcomes)

    def problem(self) -> str | None:
        return self._problem

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _make_client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            max_pool_connections=self._parallel,
            # One request ends within the limit; to repeat it is the outbox's.
            connect_timeout=self._timeout_sec / 4,
            read_timeout=self._timeout_sec / 2,
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
        )
        return boto3.client(
            "iot-data", endpoint_url=self._endpoint, region_name=self._region, config=config
        )

    def _send(self, message: CommandPublisherMessage, begin_by: float) -> CommandPublisherOutcome:
        from botocore.exceptions import BotoCoreError, ClientError

        sent_at = utc_now()
        if time.monotonic() > begin_by:
            return CommandPublisherOutcome(sent_at, "AWS IoT answers too slowly: not sent in time")
        try:
            self._client.publish(topic=message.topic, qos=1, payload=message.payload)
        except (BotoCoreError, ClientError) as error:
            return CommandPublisherOutcome(sent_at, f"{type(error).__name__}: {error}")
        return CommandPublisherOutcome(sent_at)
