"""The VEN of OpenADR 2.0b: the package `openleadr`, with what a process that runs for years needs.

It tells whether the VTN answered and knows us, asks us about every event each time (our database
knows which are old), answers nothing when we could not store an event, and hands reports over to be
kept until they arrive.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from openleadr import OpenADRClient, enums, objects, utils

from backend.openadr.openadr_settings import OpenAdrSettings

log = structlog.get_logger(__name__)
logging.getLogger("openleadr").setLevel(logging.WARNING)

Take = Callable[[dict[str, Any]], Awaitable[str]]
Sample = Callable[[str, datetime, datetime], Awaitable[float | None]]
OPT_IN, OPT_OUT = "optIn", "optOut"
USAGE, STATUS = "telemetry-usage", "telemetry-status"
_NOT_KNOWN = (450, 452, 463)
"""Codes of 2.0b by which a VTN that was set up anew says that it does not know us: out of sequence,
invalid ID, not registered."""
_MOST_REFUSALS = 3
"""One that says it otherwise refuses everything: after so many turns it is registered at again."""


class OpenAdr20bVenUnanswered(Exception):
    """The VTN did not answer, does not know us, or answers not what OpenADR 2.0b has."""


class OpenAdr20bVenRefused(OpenAdr20bVenUnanswered):
    """The VTN is there, and answers with another code than 200."""


class OpenAdr20bVen(OpenADRClient):
    """`take` stores an event and returns the opt; what it raises is raised by `turn`."""

    def __init__(self, settings: OpenAdrSettings, take: Take) -> None:
        if settings.ca_cert is not None and settings.client_cert is None:
            os.environ["SSL_CERT_FILE"] = str(settings.ca_cert)
        super().__init__(
            ven_name=settings.ven_name,
            vtn_url=settings.vtn_url,
            cert=_path(settings.client_cert),
            key=_path(settings.client_key),
            ca_file=_path(settings.ca_cert),
            vtn_fingerprint=settings.vtn_fingerprint,
            show_fingerprint=False,
            disable_signature=settings.client_cert is None,
        )
        self._take = take
        self._opts: dict[str, str] = {}
        self._events_due = True
        """All events are to be asked for: at the start, and when one could not be stored."""
        self.listed: set[str] | None = None
        """Ids of all events that the VTN has for us, if it was asked for them in the last turn."""
        self.told: set[str] | None = None
        """Ids of those that it told of by itself in the last turn; all of them, by the standard."""
        self._registration_to_renew: str | None = None
        """The VTN wants us to register again under it."""
        self._refusal: tuple[int, str] | None = None
        """Code and text of the last answer that was not 200."""
        self._refusals = 0
        """Turns that were refused, one after the other."""
        self._answered = True

    # --- what the service calls ----------------------------------------------------------------

    async def register(self, known_ven_id: str | None) -> str:
        """Our id at the VTN. Raises OpenAdr20bVenUnanswered."""
        self.ven_id = known_ven_id
        await self.query_registration()
        await self.create_party_registration(
            ven_id=known_ven_id, registration_id=self._registration_to_renew
        )
        self._registration_to_renew = None
        if not self.registration_id or not self.ven_id:
            raise OpenAdr20bVenUnanswered("the VTN does not register this VEN")
        self.loop = asyncio.get_running_loop()
        if not self.scheduler.running:
            self.scheduler.start()
        # The VTN asks anew for what it wants, also one that forgot what it had asked.
        self.scheduler.remove_all_jobs()
        self.report_requests.clear()
        if self.reports:
            await self.register_reports(self.reports)
        self._events_due = True
        return str(self.ven_id)

    async def turn(self) -> None:
        """Ask for all events when they are due, and poll. Raises OpenAdr20bVenUnanswered, and what
        `take` raises."""
        self.listed = self.told = None
        if self._events_due:
            self._refusal = None
            answer: Any = await self.request_event()
            if not answer or answer[0] is None:
                raise OpenAdr20bVenUnanswered("no answer to oadrRequestEvent")
            self._check_refusal()
            events: list[Any] = answer[1].get("events") or []
            self._events_due = False
            if events:
                await self._on_event(answer[1])
            self.listed, self.told = _event_ids(events), None
        self._answered, self._refusal = True, None
        await self._poll()
        if not self._answered:
            raise OpenAdr20bVenUnanswered("no answer to oadrPoll")
        self._check_refusal()
        self._refusals = 0
        if not self.registration_id:
            raise OpenAdr20bVenUnanswered("the VTN wants us to register again")

    @property
    def offers_reports(self) -> bool:
        """Not when the VTN ended our registration: the package forgets everything then."""
        return self.reports is not None and self.report_requests is not None

    def ask_for_all_events(self) -> None:
        self._events_due = True

    def _check_refusal(self) -> None:
        """A turn that the VTN refuses is tried again later; one that does not know us is registered
        at again."""
        if self._refusal is None:
            return
        self._refusals += 1
        code, text = self._refusal
        if code in _NOT_KNOWN or self._refusals >= _MOST_REFUSALS:
            self.registration_id, self._refusals = None, 0
        raise OpenAdr20bVenRefused(f"the VTN answers {code} {text}".rstrip())

    @property
    def poll_sec(self) -> float:
        """As the VTN wants it."""
        frequency = self.poll_frequency or timedelta(seconds=10)
        return min(max(frequency.total_seconds(), 1.0), 86_400.0)

    def ready_reports(self) -> list[Any]:
        """Those that were made since, each once."""
        found = []
        while self.pending_reports is not None and not self.pending_reports.empty():
            report = self.pending_reports.get_nowait()
            if report.intervals:  # the meter said something
                found.append(report)
        return found

    async def send_report(self, report: Any) -> bool:
        """Whether the VTN takes it. Raises OpenAdr20bVenUnanswered."""
        message = self._create_message(
            "oadrUpdateReport",
            ven_id=self.ven_id,
            request_id=utils.generate_id(),
            reports=[report],
        )
        self._refusal = None
        answer = await self._perform_request("EiReport", message)
        if not answer or answer[0] is None:
            raise OpenAdr20bVenUnanswered("no answer to oadrUpdateReport")
        refusal = self._refusal
        if refusal is not None:
            log.warning("the VTN refuses a report", code=refusal[0], answer=refusal[1])
        if answer[1].get("cancel_report"):
            await self.cancel_report(answer[1]["cancel_report"])
        return refusal is None

    async def opt_out(self, event_id: str, number: int, reason: str) -> None:
        """Say why, beside the answer to the event (EiOpt)."""
        await self.create_opt(
            opt_type=OPT_OUT,
            opt_reason=reason,
            targets=[{"ven_id": self.ven_id}],
            event_id=event_id,
            modification_number=number,
        )

    def offer_reports(
        self, resources: list[str], usage: Sample, status: Sample, sec: float
    ) -> None:
        """Power in kW, and whether it is online (1 or 0), of each resource."""
        for resource in resources:
            for specifier, sample, more in (
                (USAGE, usage, {"measurement": "POWER_REAL", "scale": "k"}),
                (STATUS, status, {"report_name": enums.REPORT_NAME.TELEMETRY_STATUS}),
            ):
                self.add_report(
                    callback=_sampler(sample, resource),
                    resource_id=resource,
                    r_id=f"{resource}-{specifier}",
                    report_specifier_id=specifier,
                    data_collection_mode="full",
                    report_duration=timedelta(hours=24),
                    sampling_rate=_sampling_rate(sec),
                    **more,
                )

    async def close(self) -> None:
        if self.scheduler.running:
            self.scheduler.shutdown(wait=False)
        if self.client_session is not None:
            await self.client_session.close()

    # --- what the package calls ----------------------------------------------------------------

    async def _perform_request(self, service: str, message: Any) -> Any:
        answer: Any = await super()._perform_request(service, message)
        payload = answer[1] if answer else None
        response: Any = payload.get("response") if isinstance(payload, dict) else None
        code = response.get("response_code") if isinstance(response, dict) else None
        if isinstance(response, dict) and code not in (None, 200):
            self._refusal = code, str(response.get("response_description") or "")[:200]
        return answer

    async def poll(self) -> Any:
        answer = await super().poll()
        self._answered = bool(answer) and answer[0] is not None
        return answer or (None, {})

    async def _on_event(self, message: Any) -> None:
        # The package forgets the opt of an event that is over and then opts out of everything: it
        # is to know no event, so that each is asked of us, and each has its answer before.
        self.received_events.clear()
        self.responded_events.clear()
        self._events_due = True  # until all of them are stored
        self.told = _event_ids(message["events"])
        self._opts = {
            each["event_descriptor"]["event_id"]: await self._take(each)
            for each in message["events"]
        }
        self._events_due = False
        await super()._on_event(message)

    async def create_report(self, response_payload: Any) -> None:
        # The package gives a request the data points of those before it too: one at a time.
        for request in response_payload["report_requests"]:
            await super().create_report({**response_payload, "report_requests": [request]})

    async def on_event(self, event: Any) -> str:
        return self._opts[event["event_descriptor"]["event_id"]]

    on_update_event = on_event

    async def create_party_reregistration(self, registration_id: str | None = None) -> None:
        # As the service does it: the package would send reports beside it, each once only.
        self._registration_to_renew = registration_id or self.registration_id
        self.registration_id = None

    async def on_cancel_party_registration(self, message: Any) -> None:
        await super().on_cancel_party_registration(message)
        self.registration_id = None


def _event_ids(events: list[dict[str, Any]]) -> set[str]:
    return {str(each["event_descriptor"]["event_id"]) for each in events}


def _path(path: Any) -> str | None:
    return None if path is None else str(path)


def _sampling_rate(sec: float) -> Any:
    return objects.SamplingRate(
        min_period=timedelta(seconds=1), max_period=timedelta(seconds=sec), on_change=False
    )


def _sampler(sample: Sample, resource: str) -> Callable[..., Awaitable[list[Any]]]:
    async def samples(
        date_from: datetime, date_to: datetime, sampling_interval: timedelta
    ) -> list[Any]:
        found: list[Any] = []
        at = date_from
        step = sampling_interval or (date_to - date_from)
        while at < date_to:
            until = min(at + step, date_to)
            value = await sample(resource, at, until)
            if value is not None:
                found.append((at, value))
            at = until
        return found

    return samples
