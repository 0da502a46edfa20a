"""openleadr's VTN of OpenADR 2.0b to try with: one event for the VEN that registers, and what it
answers and reports."""

from __future__ import annotations

import argparse
import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

from openleadr import OpenADRServer

VEN_ID = "ven-1"


async def serve(port: int, level: int, seconds: int) -> None:
    server = OpenADRServer(
        vtn_id="VTN",
        http_port=port,
        requested_poll_freq=timedelta(seconds=2),
        show_fingerprint=False,
    )
    done = asyncio.Event()

    async def opted(ven_id: str, event_id: str, opt_type: str) -> None:
        print(f"{ven_id} answers {opt_type} to {event_id}", flush=True)

    async def registered(info: dict[str, Any]) -> tuple[str, str]:
        print(f"{info.get('ven_name')} registers", flush=True)
        server.add_event(
            VEN_ID,
            signal_name="simple",
            signal_type="level",
            intervals=[
                {
                    "dtstart": datetime.now(timezone.utc),
                    "duration": timedelta(seconds=seconds),
                    "signal_payload": level,
                }
            ],
            callback=opted,
        )
        asyncio.get_running_loop().call_later(seconds + 20, done.set)
        return VEN_ID, "registration-1"

    async def offered(
        ven_id: str,
        resource_id: str,
        measurement: str,
        unit: str | None,
        scale: str | None,
        min_sampling_interval: timedelta,
        max_sampling_interval: timedelta,
    ) -> Any:
        async def told(data: list[tuple[datetime, float]]) -> None:
            for at, value in data:
                print(f"{at:%H:%M:%S} {resource_id} {measurement} {value:g}", flush=True)

        return told, timedelta(seconds=10), timedelta(seconds=10)

    server.add_handler("on_create_party_registration", registered)
    server.add_handler("on_register_report", offered)
    await server.run()
    try:
        await done.wait()
    finally:
        await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--level", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.level, options.seconds))


if __name__ == "__main__":
    main()
