"""What a command can ask for. By itself, without the models: whoever only sends needs no more."""

from __future__ import annotations

from enum import Enum


class Op(str, Enum):
    """What a command asks for. Two of a kind are two names of the same."""

    EVENT = "event"
    SHED_PANEL = "shedPanel"
    SHED_LOAD = "shedLoad"
    LIMIT = "limit"
    LOAD_UP = "loadUp"
    RESTORE = "restore"
    RESTORE_PANEL = "restorePanel"
    CANCEL = "cancel"
    PING = "ping"
    GET = "get"
    SET = "set"
    SET_CONFIG = "setConfig"
    SET_LOAD = "setLoad"


SHED_OPS = (Op.EVENT.value, Op.SHED_PANEL.value, Op.SHED_LOAD.value)
"""They ask for less power; the acks of their events bear these too."""
EVENT_OPS = (*SHED_OPS, Op.LIMIT.value, Op.LOAD_UP.value)
"""They begin or change an event."""
END_OPS = (Op.RESTORE.value, Op.RESTORE_PANEL.value, Op.CANCEL.value)
"""They end or withdraw one."""
