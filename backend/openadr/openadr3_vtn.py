"""The VTN of OpenADR 3.1 or 3.0 as we reach it: the HTTP client is the package `openadr3`.

That client blocks, so each call runs in a thread. It keeps a token for ever, so a new one is
fetched when the VTN refuses (401, and 403, which is all that 3.0 has). Events are taken as the
JSON that came: its own models overflow at P9999Y and know no targets of 3.0.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import httpx
import structlog
from openadr3.api import OpenADRClient
from openadr3.auth import fetch_token

from backend.openadr.openadr_settings import OpenAdrSettings

log = structlog.get_logger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request

PAGE = 50
"""The most that the standard lets a client ask for."""
MOST_PAGES = 400
_REFUSED = (401, 403)
_GONE = (403, 404, 410)
_CONFLICT = 409


class OpenAdr3VtnError(Exception):
    """The VTN cannot be used now, or answers nonsense; the text says why. Try again later."""


class OpenAdr3VtnRefused(OpenAdr3VtnError):
    """It understood, and says no: the same again would be refused again."""


class OpenAdr3Vtn:
    """Calls of one VEN. `clock_offset_sec` is the VTN's clock less ours, of the last answer."""

    def __init__(self, settings: OpenAdrSettings) -> None:
        self._settings = settings
        self._client: OpenADRClient | None = None
        self.clock_offset_sec: float | None = None
        if settings.ca_cert is not None:
            # The client has no parameter for it; this process speaks HTTPS with the VTN alone.
            os.environ["SSL_CERT_FILE"] = str(settings.ca_cert)

    async def programs(self) -> dict[str, str]:
        """By id the names of the programmes we take part in. Raises OpenAdr3VtnError."""
        found = await self._pages(lambda client, **page: client.get_programs(**page))
        wanted = set(self._settings.programs)
        named = {each["id"]: str(each.get("programName", "")) for each in found if "id" in each}
        chosen = {i: name for i, name in named.items() if not wanted or {i, name} & wanted}
        missing = wanted - set(chosen) - set(chosen.values())
        if missing:
            raise OpenAdr3VtnError(
                f"the VTN shows no programme {', '.join(sorted(missing))}: check OPENADR_PROGRAMS"
            )
        return chosen

    async def events(self, program_ids: Collection[str]) -> list[Mapping[str, Any]]:
        """All events of these programmes, as they came. Raises OpenAdr3VtnError."""
        if not self._settings.programs:
            found = await self._pages(lambda client, **page: client.get_events(**page))
            return [each for each in found if each.get("programID") in program_ids]
        events: list[Mapping[str, Any]] = []
        for program_id in sorted(program_ids):
            events += await self._pages(
                lambda client, it=program_id, **page: client.get_events(programID=it, **page)
            )
        return events

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
            for ven in _listed(await self._answer(look)):
                if ven.get("venName") == name and "id" in ven:
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
            found = _listed(await self._answer(lambda client: client.get_ven_by_id(path)))
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
        if self._client is not None:
            await asyncio.to_thread(self._client.close)
            self._client = None

    # --- one request ---------------------------------------------------------------------------

    async def _pages(self, get: Callable[..., httpx.Response]) -> list[Mapping[str, Any]]:
        """All pages; a VTN that knows no paging gives the same one again, which ends it."""
        found: dict[Any, Mapping[str, Any]] = {}
        for number in range(MOST_PAGES):
            one_page = partial(get, skip=number * PAGE, limit=PAGE)
            page = _listed(await self._answer(one_page))
            before = len(found)
            found.update({each.get("id"): each for each in page})
            if len(page) != PAGE or len(found) == before:
                return list(found.values())
        raise OpenAdr3VtnError(f"the VTN lists more than {MOST_PAGES * PAGE} objects")

    async def _get(
        self, get: Callable[[OpenADRClient], httpx.Response]
    ) -> Mapping[str, Any] | None:
        answer = await self._answer(get, also=_GONE)
        return answer if isinstance(answer, Mapping) and "id" in answer else None

    async def _answer(
        self, call: Callable[[OpenADRClient], httpx.Response], *, also: tuple[int, ...] = ()
    ) -> Any:
        try:
            response = await asyncio.to_thread(self._call, call)
        except (httpx.HTTPError, OSError) as error:
            raise OpenAdr3VtnError(
                f"the VTN cannot be reached: {error or type(error).__name__}"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise OpenAdr3VtnError(f"the VTN's answer about tokens is nonsense: {error}") from error
        if not (response.is_success or response.status_code in also):
            kind = OpenAdr3VtnRefused if 400 <= response.status_code < 500 else OpenAdr3VtnError
            if response.status_code in (*_REFUSED, 408, 425, 429):
                kind = OpenAdr3VtnError
            raise kind(_refusal(response))
        try:
            return response.json()
        except ValueError:
            if response.status_code in also:
                return None
            raise OpenAdr3VtnError(f"the VTN's answer to {_what(response)} is no JSON") from None

    def _call(self, call: Callable[[OpenADRClient], httpx.Response]) -> httpx.Response:
        """In a thread. A token that is refused is fetched anew, once."""
        was_new = self._client is None
        client = self._client or self._connect()
        response = call(client)
        if response.status_code in _REFUSED and not was_new and self._settings.client_id:
            client.close()
            response = call(self._connect())
        self._note_clock(response)
        return response

    def _connect(self) -> OpenADRClient:
        settings = self._settings
        token = None
        if settings.client_id and settings.client_secret:
            url = settings.token_url
            if url is None and settings.version == "3.0":
                url = f"{settings.vtn_url.rstrip('/')}/auth/token"
            token = fetch_token(
                settings.vtn_url,
                settings.client_id,
                settings.client_secret,
                scopes=settings.scope.split() if settings.scope else None,
                token_url=url,
            )
        self._client = OpenADRClient(settings.vtn_url, token=token, client_type="ven")
        return self._client

    def _note_clock(self, response: httpx.Response) -> None:
        try:
            theirs = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError):
            return
        self.clock_offset_sec = round(theirs - time.time(), 1)


def _listed(answer: Any) -> list[Mapping[str, Any]]:
    if not isinstance(answer, list):
        raise OpenAdr3VtnError(f"the VTN answers {type(answer).__name__} where a list is due")
    return [each for each in answer if isinstance(each, Mapping)]


def _refusal(response: httpx.Response) -> str:
    """Its `problem` object, if it is one."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    detail = ""
    if isinstance(problem, Mapping):
        detail = str(problem.get("detail") or problem.get("title") or "")
    return f"the VTN answers {response.status_code} to {_what(response)}: {detail[:300]}".rstrip(
        ": "
    )


def _what(response: httpx.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"
