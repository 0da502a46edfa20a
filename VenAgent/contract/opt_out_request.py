"""What a person at the site asks for who refuses participation: the same at the page and by RPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

OPT_OUT_AT_MOST_SEC = 366 * 86_400.0


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable, in one line")
    return text


class OptOutRequest(BaseModel):
    """`duration_sec`: how long from now, in seconds; none: until someone opts in.

    Raises pydantic's ValidationError for anything else: it is stored, and shown in many places.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=200, strict=True),
        AfterValidator(_printable),
    ] = "opted out at the site"
    duration_sec: (
        Annotated[float, Field(gt=0, le=OPT_OUT_AT_MOST_SEC, allow_inf_nan=False, strict=True)]
        | None
    ) = None
