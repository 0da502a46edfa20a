"""openleadr's own VTN of OpenADR 2.0b, for tests and to try with: run by itself it publishes one
event for the VEN that registers, and prints what that answers and reports."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from openleadr import OpenADRServer

VEN_ID = "ven-1"


class Vtn20b:
    """openleadr's server, and what the VEN told it; `say` gets a line about each."""

    def __init__(
        self, port: int, say: Callable[[str], None] = lambda line: None, **options: Any
    ) -> None:
        self.say = say
        self.server = OpenADRServer(
            vtn_id="VTN",
            http_port=port,
            show_fingerprint=False,
            **{"requested_poll_freq": timedelta(seconds=1), **options},
        )
        self.registrations = 0
        self.opts: list[tuple[str, str]] = []
        self.offered: list[str] = []
        self.states: list[tuple[str, float]] = []
        self.measured: list[tuple[str, datetime, float]] = []
        self.server.add_handler("on_create_party_registration", self._register)
        self.server.add_handler("on_register_report", self._offer)

    def event(self, payloads: list[float], **more: Any) -> str:
        start = more.pop("start", None) or datetime.now(timezone.utc)
        length = more.pop("duration", timedelta(hours=1))
        more = {"signal_name": "simple", "signal_type": "level", **more}
        intervals = [
            {"dtstart": start + n * length, "duration": length, "signal_payload": payload}
            for n, payload in enumerate(payloads)
        ]
        return str(self.server.add_event(VEN_ID, intervals=intervals, callback=self._opt, **more))

    def cancel(self, event_id: str) -> None:
        self.server.cancel_event(VEN_ID, event_id)

    async def _register(self, info: dict[str, Any]) -> tuple[str, str]:
        self.registrations += 1
        self.say(f"{info.get('ven_name')} registers")
        return VEN_ID, "registration-1"

    async def _offer(
        self,
        ven_id: str,
        resource_id: str,
        measurement: str,
        unit: str | None,
        scale: str | None,
        min_sampling_interval: timedelta,
        max_sampling_interval: timedelta,
    ) -> Any:
        self.offered.append(f"{resource_id} {measurement} {scale}{unit}")

        async def keep(data: list[tuple[datetime, float]]) -> None:
            for at, value in data:
                self.say(f"{at:%H:%M:%S} {resource_id} {measurement} {value:g}")
                if measurement == "RealPower":
                    self.measured.append((resource_id, at, value))
                else:
                    self.states.append((resource_id, value))

        return keep, timedelta(seconds=1), timedelta(seconds=1)

    async def _opt(self, ven_id: str, event_id: str, opt_type: str) -> None:
        self.opts.append((event_id, opt_type))
        self.say(f"{ven_id} answers {opt_type} to {event_id}")


@asynccontextmanager
async def running_vtn20b(port: int, **options: Any) -> AsyncIterator[Vtn20b]:
    vtn = Vtn20b(port, **options)
    await vtn.server.run()
    try:
        yield vtn
    finally:
        await vtn.server.stop()


def vtn20b_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/OpenADR2/Simple/2.0b"


async def serve(port: int, level: int, seconds: int) -> None:
    async with running_vtn20b(
        port, say=partial(print, flush=True), requested_poll_freq=timedelta(seconds=2)
    ) as vtn:
        while not vtn.registrations:
            await asyncio.sleep(0.1)
        vtn.event([level], duration=timedelta(seconds=seconds))
        await asyncio.sleep(seconds + 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--level", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.level, options.seconds))


if __name__ == "__main__":
    main()
