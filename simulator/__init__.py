"""An electrical panel as a real Modbus TCP device, with physics and faults.

Run it with ``python -m simulator``. The way of a request:

    server.py (Modbus) -> faults.py -> registers.py -> panel.py -> physics.py
    control_port.py (fault injection, for tests) -> panel.py, faults.py, server.py

Only ``server.py``, ``control_port.py`` and ``__main__.py`` do I/O or read a clock; only
``server.py`` needs pymodbus. ``control.py``, the client of the control port, needs the standard
library alone.
"""
