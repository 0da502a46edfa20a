"""The VTN of OpenADR 3.1 or 3.0 as we reach it: the HTTP client is the package `openadr3`.

Events are taken as the JSON that came: that package's own models overflow at P9999Y and know no
targets of 3.0.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

import httpx
from openadr3.api import OpenADRClient

from backend.openadr.openadr3_connection import (
    OpenAdr3Connection,
    answer_text,
    retry_after_sec,
)
from backend.openadr.openadr_settings import OpenAdrSettings

PAGE = 50
"""The most that the standard lets a client ask for."""
MOST_PAGES = 400
_TRY_AGAIN = (401, 403, 408, 425, 429)
_GONE = (403, 404, 410)
_CONFLICT = 409


class OpenAdr3VtnError(Exception):
    """The VTN cannot be used now, or answers nonsense; the text says why. Try again later, after
    `retry_after_sec` where the VTN says so."""

    def __init__(self, text: str, retry_after_sec: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_sec = retry_after_sec


class OpenAdr3VtnRefused(OpenAdr3VtnError):
    """It understood, and says no: the same again would be refused again."""


class OpenAdr3Vtn:
    """Calls of one VEN."""

    def __init__(self, settings: OpenAdrSettings) -> None:
        self._settings = settings
        self.connection = OpenAdr3Connection(settings)
        self._page = PAGE
        """So many objects the VTN gives at once at most."""
        self._looks_for_short_pages = True
        self.payload_descriptors: dict[str, Any] = {}
        """By programme, as it came when the programmes were read last."""

    async def programs(self) -> dict[str, str]:
        """By id the names of the programmes we take part in. Raises OpenAdr3VtnError."""
        self._looks_for_short_pages = True
        found = await self._pages(lambda client, **page: client.get_programs(**page))
        wanted = set(self._settings.programs)
        named = {each["id"]: str(each.get("programName", ""))[:200] for each in found}
        self.payload_descriptors = {each["id"]: each.get("payloadDescriptors") for each in found}
        chosen = {i: name for i, name in named.items() if not wanted or {i, name} & wanted}
        missing = wanted - set(chosen) - set(chosen.values())
        if missing:
            raise OpenAdr3VtnError(
                f"the VTN shows no programme {', '.join(sorted(missing))}: check OPENADR_PROGRAMS"
            )
        return chosen

    async def events(self, program_ids: Collection[str]) -> list[Mapping[str, Any]]:
        """All events of these programmes, as they came; with programmes in the settings those of
        others are not asked for. Raises OpenAdr3VtnError."""
        events: list[Mapping[str, Any]] = []
        if not self._settings.programs:
            events = await self._pages(lambda client, **page: client.get_events(**page))
        else:
            for program_id in sorted(program_ids):
                events += await self._pages(
                    lambda client, it=program_id, **page: client.get_events(programID=it, **page)
                )
        self._looks_for_short_pages = False
        return events

    async def notifiers(self) -> Mapping[str, Any]:
        """The bindings by which the VTN tells of changes (3.1); none when it has none. Raises
        OpenAdr3VtnError."""
        if self._settings.version != "3.1":
            return {}
        answer = await self._answer(lambda client: client.get_notifiers(), also=_GONE)
        return answer if isinstance(answer, Mapping) else {}

    async def event_topics(self, ven_id: str, program_ids: Iterable[str]) -> set[str]:
        """The MQTT topics on which it tells of our events: the VEN's own, and those of each
        programme. Raises OpenAdr3VtnError."""
        calls: list[Callable[[OpenADRClient], httpx.Response]] = [
            partial(OpenADRClient.get_mqtt_topics_program_events, program_id=program_id)
            for program_id in program_ids
        ]
        if ven_id:
            calls.append(partial(OpenADRClient.get_mqtt_topics_ven_events, ven_id=ven_id))
        found: set[str] = set()
        for call in calls:
            answer = await self._answer(call, also=_GONE)
            topics = answer.get("topics") if isinstance(answer, Mapping) else None
            if isinstance(topics, Mapping):
                named = {k: v for k, v in topics.items() if isinstance(v, str) and v}
                every = named.get("ALL")
                wanted = (
                    [every] if every else [named.get(k) for k in ("CREATE", "UPDATE", "DELETE")]
                )
                found |= {topic for topic in wanted if topic}
        return found

    async def event(self, event_id: str) -> Mapping[str, Any] | None:
        """One event; None when the VTN has it no longer. Raises OpenAdr3VtnError."""
        return await self._get(lambda client: client.get_event_by_id(event_id))

    async def register_ven(self) -> str:
        """Our id at the VTN; made there if it knows us not. Raises OpenAdr3VtnError."""
        name = self._settings.ven_name

        def look(client: OpenADRClient) -> httpx.Response:
            return client.get_vens(venName=name, skip=0, limit=PAGE)

        body = {"venName": name}
        if self._settings.version == "3.1":
            body["objectType"] = "VEN_VEN_REQUEST"
        for attempt in range(2):
            for ven in _with_ids(await self._answer(look)):
                if ven.get("venName") == name:
                    return str(ven["id"])
            try:
                made = await self._answer(lambda client: client.create_ven(body))
            except OpenAdr3VtnRefused:
                if attempt:
                    raise
                continue  # somebody made it meanwhile
            if isinstance(made, Mapping) and made.get("id"):
                return str(made["id"])
        raise OpenAdr3VtnError("the VTN gives this VEN no id")

    async def resource_names(self, ven_id: str) -> set[str]:
        """Those that the VTN has of ours. Raises OpenAdr3VtnError."""
        if self._settings.version == "3.0":
            # The client knows the paths of 3.1 alone.
            path = f"{ven_id}/resources"
            found = _with_ids(await self._answer(lambda client: client.get_ven_by_id(path)))
        else:
            found = await self._pages(
                lambda client, **page: client.get_resources(venID=ven_id, **page)
            )
        return {str(each.get("resourceName")) for each in found}

    async def make_resource(self, ven_id: str, name: str) -> None:
        """Raises OpenAdr3VtnError."""
        body = {"resourceName": name}

        def make(client: OpenADRClient) -> httpx.Response:
            if self._settings.version == "3.0":
                return client._request("POST", f"/vens/{ven_id}/resources", json=body)
            more = {"objectType": "VEN_RESOURCE_REQUEST", "venID": ven_id}
            return client.create_resource({**body, **more})

        await self._answer(make, also=(_CONFLICT,))

    async def has_report(self, event_id: str, name: str) -> bool:
        """Whether that report arrived, though its answer did not. Raises OpenAdr3VtnError."""
        found = await self._pages(
            lambda client, **page: client.get_reports(
                eventID=event_id, clientName=self._settings.ven_name, **page
            )
        )
        return any(report.get("reportName") == name for report in found)

    async def send_report(self, body: dict[str, Any]) -> None:
        """Raises OpenAdr3VtnError, and OpenAdr3VtnRefused when it never will be taken."""
        await self._answer(lambda client: client.create_report(body), also=(_CONFLICT,))

    async def close(self) -> None:
        await asyncio.to_thread(self.connection.close)

    # --- one request ---------------------------------------------------------------------------

    async def _pages(self, get: Callable[..., httpx.Response]) -> list[Mapping[str, Any]]:
        """All pages; a VTN that knows no paging gives the same one again, which ends it."""
        found: dict[str, Mapping[str, Any]] = {}
        short: int | None = None
        for _ in range(MOST_PAGES):
            before = len(found)
            page = _with_ids(await self._answer(partial(get, skip=before, limit=PAGE)))
            found.update({each["id"]: each for each in page})
            if len(found) == before or len(page) > PAGE:
                return list(found.values())
            if short is not None:  # it gives fewer at once than it is asked for
                self._page, short = min(self._page, short), None
            if len(page) < self._page:
                if not self._looks_for_short_pages:
                    return list(found.values())
                short = len(page)
        raise OpenAdr3VtnError(f"the VTN lists more than {MOST_PAGES * PAGE} objects")

    async def _get(
        self, get: Callable[[OpenADRClient], httpx.Response]
    ) -> Mapping[str, Any] | None:
        answer = await self._answer(get, also=_GONE)
        return next(iter(_with_ids([answer])), None) if isinstance(answer, Mapping) else None

    async def _answer(
        self, call: Callable[[OpenADRClient], httpx.Response], *, also: tuple[int, ...] = ()
    ) -> Any:
        try:
            response = await asyncio.to_thread(self.connection.call, call)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise OpenAdr3VtnError(
                f"the VTN cannot be reached: {error or type(error).__name__}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise OpenAdr3VtnError(f"the VTN's answer about tokens is nonsense: {error}") from error
        if not (response.is_success or response.status_code in also):
            raise _refusal(response)
        try:
            return response.json()
        except (ValueError, RecursionError):
            if response.status_code in also:
                return None
            raise OpenAdr3VtnError(f"the VTN's answer to {_what(response)} is no JSON") from None


def _listed(answer: Any) -> list[Mapping[str, Any]]:
    if not isinstance(answer, list):
        raise OpenAdr3VtnError(f"the VTN answers {type(answer).__name__} where a list is due")
    return [each for each in answer if isinstance(each, Mapping)]


def _with_ids(answer: Any) -> list[Mapping[str, Any]]:
    """Objects that have an id; some VTNs write it as a number."""
    found: list[Mapping[str, Any]] = []
    for each in _listed(answer):
        object_id = each.get("id")
        if isinstance(object_id, int) and not isinstance(object_id, bool):
            object_id = str(object_id)
        if isinstance(object_id, str) and object_id:
            found.append({**each, "id": object_id})
    return found


def _refusal(response: httpx.Response) -> OpenAdr3VtnError:
    status = response.status_code
    text = f"the VTN answers {status} to {_what(response)}"
    problem = answer_text(response)
    detail = str(problem.get("detail") or problem.get("title") or "")
    if response.is_redirect:
        # Not followed: the token would go where the settings do not say.
        detail = f"it points to {response.headers.get('Location')}: set OPENADR_VTN_URL to that"
    text = f"{text}: {detail[:300]}".rstrip(": ")
    if 400 <= status < 500 and status not in _TRY_AGAIN:
        return OpenAdr3VtnRefused(text)
    return OpenAdr3VtnError(text, retry_after_sec(response, time.time()))


def _what(response: httpx.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"
