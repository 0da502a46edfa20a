"""Names in a query and fields of a body: one that the call does not have is refused, with the
nearest that it has.

`?strat=…` must not be answered with everything there is.
"""

from __future__ import annotations

import difflib
from collections import Counter
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from VenAgent.contract.command_fields import LET_THROUGH


async def check_query_names(request: Request) -> None:
    """Raises RequestValidationError (a 422) for a name that the call does not have, with the
    nearest that it has, and for a name that stands twice and has one value. What is no call of the
    API's document (the console's pages) is not looked at; `x_…` is the sender's own."""
    call = _documented_call(request)
    if call is None:
        return
    known = {each["name"]: each["schema"] for each in call.get("parameters", ()) if _in_query(each)}
    times = Counter(name for name, _ in request.query_params.multi_items())
    problems = [
        _problem("unknown_field", name, _unknown_text(name, list(known)))
        for name in times
        if name not in known and not name.startswith(LET_THROUGH)
    ]
    problems += [
        _problem("duplicate_key", name, "stands twice in the query: no one knows which is meant")
        for name, count in times.items()
        if count > 1 and name in known and not _takes_several(known[name])
    ]
    if problems:
        raise RequestValidationError(problems)


def _documented_call(request: Request) -> dict[str, Any] | None:
    path = getattr(request.scope.get("route"), "path", None)
    calls = request.app.openapi()["paths"].get(path) or {}
    found: dict[str, Any] | None = calls.get(request.method.lower())
    return found


def unknown_body_field_text(request: Request, name: str) -> str | None:
    """What is said of a field that the call's body does not have; None where its fields are not
    documented."""
    api, call = request.app.openapi(), _documented_call(request) or {}
    content = call.get("requestBody", {}).get("content", {}).get("application/json", {})
    model = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    fields = api.get("components", {}).get("schemas", {}).get(model, {}).get("properties")
    return _unknown_text(name, list(fields)) if fields else None


def _in_query(parameter: dict[str, Any]) -> bool:
    return parameter["in"] == "query"


def _takes_several(schema: dict[str, Any]) -> bool:
    return any(each.get("type") == "array" for each in (schema, *schema.get("anyOf", ())))


def _unknown_text(name: str, known: list[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name[:64].lower(), by_lower, n=1, cutoff=0.6)
    if near:
        return f"there is no such name; did you mean {by_lower[near[0]]}?"
    has = f"this call has {', '.join(known)}" if known else "this call has none"
    return f"there is no such name; {has}"


def _problem(kind: str, name: str, text: str) -> dict[str, Any]:
    return {"type": kind, "loc": ("query", name[:64]), "msg": text, "input": None}
