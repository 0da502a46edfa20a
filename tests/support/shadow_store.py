"""The AWS IoT Device Shadow service as its documentation describes it, in memory, for tests.

Taken from the developer guide's pages on shadow documents, MQTT topics, error messages and
quotas. Where they leave room it takes the stricter reading: a null inside a list is refused, and
every accepted update that leaves a difference brings a delta, whoever made it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

MAX_DOCUMENT_BYTES = 8_192
MAX_TOKEN_BYTES = 64
MAX_LEVELS = 6
SECTIONS = ("desired", "reported")
Answer = tuple[str, dict[str, Any]]
"""What is published: the topic below the shadow's prefix, and the message."""


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Document:
    """One shadow. The version goes on after it is deleted."""

    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 0
    exists: bool = False


class ShadowStore:
    """The shadows of all things, by (thing, name); the classic one has the name None."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str | None], Document] = {}
        self.faults: list[tuple[int, str]] = []
        """Refusals to give to the next updates, in order, whatever they ask."""

    def document(self, thing: str, name: str | None = None) -> Document:
        return self._documents.setdefault((thing, name), Document())

    def names(self, thing: str) -> list[str]:
        """The named shadows that hold anything."""
        return sorted(
            name
            for (owner, name), document in self._documents.items()
            if owner == thing and name is not None and document.state
        )

    def delete_for_good(self, thing: str) -> None:
        """Deleted, and 48 hours later: the versions begin anew."""
        del self._documents[thing, None]

    def handle(
        self, thing: str, name: str | None, operation: str, payload: bytes, now: float
    ) -> list[Answer]:
        """The messages that answer `update`, `get` or `delete`."""
        handlers = {"update": self._update, "get": self._get, "delete": self._delete}
        body: dict[str, Any] = {}
        try:
            body = _parse(payload, may_be_empty=operation != "update")
            answers = handlers[operation](self.document(thing, name), body, int(now))
        except Refused as refused:
            problem = {"code": refused.code, "message": refused.message, "timestamp": int(now)}
            answers = [(f"{operation}/rejected", problem)]
        token = body.get("clientToken")
        if isinstance(token, str):
            for _, message in answers:
                message["clientToken"] = token
        return answers

    def _update(self, document: Document, body: dict[str, Any], now: int) -> list[Answer]:
        if self.faults:
            raise Refused(*self.faults.pop(0))
        state = _checked(body)
        wanted_version = body.get("version")
        if wanted_version is not None and wanted_version != document.version:
            raise Refused(409, "Version conflict")
        merged = _copied(document.state)
        metadata = _copied(document.metadata)
        for section, fields in state.items():
            if fields is None:
                merged.pop(section, None)
                metadata.pop(section, None)
                continue
            _merge(merged.setdefault(section, {}), fields)
            _stamp(metadata.setdefault(section, {}), fields, now)
            if not merged[section]:
                del merged[section], metadata[section]
        if len(json.dumps(merged, separators=(",", ":")).encode()) > MAX_DOCUMENT_BYTES:
            raise Refused(413, "The payload exceeds the maximum size allowed")
        previous = _shown(document)
        document.state, document.metadata = merged, metadata
        document.version += 1
        document.exists = True
        given = {section: fields for section, fields in state.items() if fields is not None}
        answers: list[Answer] = [
            (
                "update/accepted",
                {
                    "state": state,
                    "metadata": {s: _stamped(fields, now) for s, fields in given.items()},
                    "version": document.version,
                    "timestamp": now,
                },
            ),
            (
                "update/documents",
                {"previous": previous, "current": _shown(document), "timestamp": now},
            ),
        ]
        delta, times = self._delta(document)
        if delta:
            message = {"state": delta, "metadata": times}
            answers.append(
                ("update/delta", {**message, "version": document.version, "timestamp": now})
            )
        return answers

    def _delta(self, document: Document) -> tuple[dict[str, Any], dict[str, Any]]:
        desired = document.state.get("desired", {})
        reported = document.state.get("reported", {})
        return _difference(desired, reported, document.metadata.get("desired", {}))

    def _get(self, document: Document, body: dict[str, Any], now: int) -> list[Answer]:
        if not document.exists:
            raise Refused(404, "No shadow exists with this name")
        shown = _shown(document)
        delta, _ = self._delta(document)
        if delta:
            shown["state"]["delta"] = delta
        return [("get/accepted", {**shown, "timestamp": now})]

    def _delete(self, document: Document, body: dict[str, Any], now: int) -> list[Answer]:
        if not document.exists:
            raise Refused(404, "No shadow exists with this name")
        document.state, document.metadata, document.exists = {}, {}, False
        return [("delete/accepted", {"version": document.version, "timestamp": now})]


def _parse(payload: bytes, *, may_be_empty: bool) -> dict[str, Any]:
    if not payload and may_be_empty:
        return {}
    try:
        body = json.loads(payload.decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused(415, "Unsupported documented encoding; supported encoding is UTF-8") from None
    except (ValueError, RecursionError):
        raise Refused(400, "Invalid JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "Invalid JSON")
    token = body.get("clientToken")
    if token is not None and not (isinstance(token, str) and len(token.encode()) <= 64):
        raise Refused(400, "Invalid clientToken")
    return body


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    if "state" not in body:
        raise Refused(400, "Missing required node: state")
    state = body["state"]
    if not isinstance(state, dict):
        raise Refused(400, "State node must be an object")
    for section in SECTIONS:
        if not isinstance(state.get(section, {}), (dict, type(None))):
            raise Refused(400, f"{section.capitalize()} node must be an object")
    if set(state) - set(SECTIONS) or _null_in_list(state):
        raise Refused(400, "State contains an invalid node")
    version = body.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise Refused(400, "Invalid version")
    if _levels(body) > MAX_LEVELS:
        raise Refused(400, f"JSON contains too many levels of nesting; maximum is {MAX_LEVELS}")
    return state


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _levels(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max(map(_levels, _inner(value)), default=0)


def _null_in_list(value: Any, inside: bool = False) -> bool:
    if value is None:
        return inside
    inside = inside or isinstance(value, list)
    return any(_null_in_list(inner, inside) for inner in _inner(value))


def _merge(target: dict[str, Any], fields: dict[str, Any]) -> None:
    """Objects are merged, null deletes, all else (lists too) is replaced."""
    for key, value in fields.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            inner = target.get(key)
            target[key] = inner if isinstance(inner, dict) else {}
            _merge(target[key], value)
            if not target[key]:
                del target[key]
        else:
            target[key] = _copied(value)


def _stamp(target: dict[str, Any], fields: dict[str, Any], now: int) -> None:
    for key, value in fields.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            inner = target.get(key)
            target[key] = inner if isinstance(inner, dict) and "timestamp" not in inner else {}
            _stamp(target[key], value, now)
        else:
            target[key] = _stamped(value, now)


def _stamped(value: Any, now: int) -> Any:
    if isinstance(value, dict):
        return {key: _stamped(inner, now) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_stamped(inner, now) for inner in value]
    return {"timestamp": now}


def _difference(
    desired: dict[str, Any], reported: dict[str, Any], metadata: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    delta: dict[str, Any] = {}
    times: dict[str, Any] = {}
    for key, value in desired.items():
        there = reported.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            inner, inner_times = _difference(value, there, metadata.get(key, {}))
            if inner:
                delta[key], times[key] = inner, inner_times
        elif value != there:
            delta[key], times[key] = _copied(value), _copied(metadata.get(key))
    return delta, times


def _copied(value: Any) -> Any:
    """As `copy.deepcopy` does of JSON, in a fifth of its time."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _shown(document: Document) -> dict[str, Any]:
    return {
        "state": _copied(document.state),
        "metadata": _copied(document.metadata),
        "version": document.version,
    }
