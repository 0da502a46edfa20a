"""What a database's error means for a batch: try again, or find the message it comes from."""

from __future__ import annotations

from sqlalchemy.exc import DataError, IntegrityError, StatementError

_ABOUT_THE_DATA = ("22", "23", "54")
"""SQLSTATE classes: data exception, integrity violation, program limit exceeded."""
_UNIQUE_VIOLATION = "23505"


def database_error_sqlstate(error: BaseException | None) -> str | None:
    """The SQLSTATE of an error of asyncpg's, also when SQLAlchemy wrapped it."""
    while error is not None:
        state = getattr(error, "sqlstate", None)
        if isinstance(state, str):
            return state
        error = getattr(error, "orig", None) or error.__cause__
    return None


def is_duplicate_row_error(error: BaseException) -> bool:
    """A row is there already."""
    return database_error_sqlstate(error) == _UNIQUE_VIOLATION


def is_data_error(error: BaseException) -> bool:
    """The batch itself cannot be stored. Everything else may go well the next time."""
    state = database_error_sqlstate(error)
    if state is not None:
        return state[:2] in _ABOUT_THE_DATA
    if isinstance(error, StatementError):
        return isinstance(error, (DataError, IntegrityError)) or _is_about_data_itself(error.orig)
    return _is_about_data_itself(error)


def _is_about_data_itself(error: BaseException | None) -> bool:
    """A value that a driver refused before it was sent, or that is nested too deeply for it."""
    return isinstance(error, (ValueError, TypeError, ArithmeticError, RecursionError))


def database_error_line(error: BaseException) -> str:
    """What went wrong, for a log: a driver's errors are many lines, and a time limit's is none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
