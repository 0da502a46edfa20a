"""Operations: brings VenAgent up, watches it, and talks to it as an operator would.

`scripts/ven_control.sh` is the door; `cli.py` has one function a command.
"""
