"""One test over many cases: `each_case` is written as `pytest.mark.parametrize`, and is one test.

A corpus of hundreds of cases that take microseconds each would take seconds as tests of their own.
Every case is tried; the failure names each that failed, with its place and reason. For cases that
use no fixture made for one test: they would share it.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

SHOWN = 20
"""More failed cases than these are only counted."""

Test = Callable[..., None]


class CasesFailed(AssertionError):
    """Its text has a line for each failed case."""

    def __init__(self, lines: Sequence[str], total: int) -> None:
        self.lines = tuple(lines)
        shown = "\n".join(self.lines[:SHOWN])
        more = f"\nand {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        super().__init__(f"{len(lines)} of {total} cases failed:\n{shown}{more}")


def each_case(
    names: str | Sequence[str],
    cases: Iterable[Any],
    ids: Sequence[str] | Callable[[Any], object] | None = None,
) -> Callable[[Test], Test]:
    """The arguments are those of `pytest.mark.parametrize`; it may be written several times."""
    arguments = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    rows = list(cases)
    assert rows, f"no cases of {names}"

    def over_all(test: Test) -> Test:
        @functools.wraps(test)
        def of_each(*args: Any, **others: Any) -> None:
            failed: list[str] = []
            for number, row in enumerate(rows):
                values = (row,) if len(arguments) == 1 else tuple(row)
                try:
                    test(*args, **others, **dict(zip(arguments, values, strict=True)))
                except CasesFailed as inner:
                    failed += [f"{_name(ids, number, values)} - {line}" for line in inner.lines]
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever a test raises
                    failed.append(f"{_name(ids, number, values)}: {_reason(error)}")
            if failed:
                raise CasesFailed(failed, len(rows))

        signature = inspect.signature(test)
        left = [p for name, p in signature.parameters.items() if name not in arguments]
        of_each.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        del of_each.__wrapped__  # pytest would ask it for fixtures
        return of_each

    return over_all


def _name(
    ids: Sequence[str] | Callable[[Any], object] | None, number: int, values: tuple[Any, ...]
) -> str:
    if ids is None:
        return f"[{', '.join(repr(value)[:60] for value in values)}]"
    if callable(ids):
        return f"[{', '.join(str(ids(value)) for value in values)}]"
    return f"[{ids[number]}]"


def _reason(error: BaseException) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{place.filename}:{place.lineno}: {type(error).__name__}: {error}"
