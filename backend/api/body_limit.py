"""How large a request may be: its body is read before anybody knows who sends it."""

from __future__ import annotations

import contextlib

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _TooLarge(Exception):
    pass


class BodyLimit:
    """Answers 413 to a body of more than `most_bytes`, before it is kept."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read, over, answered = 0, False, False

        async def counted() -> Message:
            nonlocal read, over
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most_bytes:
                over = True
                raise _TooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal answered
            if not over:  # what it makes of a body that is cut off is not the answer
                answered = True
                await send(message)

        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._most_bytes:
            over = True
        else:
            with contextlib.suppress(_TooLarge):
                await self._app(scope, counted, watched)
        if over and not answered:
            text = f"a request has {self._most_bytes:,} bytes at most"
            answer = JSONResponse({"detail": text}, 413, {"Connection": "close"})
            await answer(scope, receive, send)
