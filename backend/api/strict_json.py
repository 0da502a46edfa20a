"""A request's body is read as strictly as a command from the broker: what two readers could take
differently (a key twice, NaN, 1e400, a thousand nested lists) is refused before anything is done.
"""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from VenAgent.contract.json_codec import decode_json
from VenAgent.contract.message_refused import MessageRefused


class StrictJson:
    """Answers 422 to a JSON body that `decode_json` refuses. It stands inside `BodyLimit`, which
    bounds what is kept here."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        body = b""
        last: Message = {"type": "http.request", "more_body": True}
        while last["type"] == "http.request" and last.get("more_body"):
            last = await receive()
            body += last.get("body", b"")
        kind = dict(scope["headers"]).get(b"content-type", b"").split(b";")[0].strip().lower()
        if body and (kind == b"application/json" or kind.endswith(b"+json") or not kind):
            try:
                decode_json(body, max_bytes=self._most_bytes)
            except MessageRefused as error:
                finding = {"type": error.code.value, "loc": ["body"], "msg": str(error)}
                await JSONResponse({"detail": [finding]}, 422)(scope, receive, send)
                return
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        if last["type"] != "http.request":  # the client has gone
            waiting = [last]

        async def replayed() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replayed, send)
