"""A building's equipment as real Modbus TCP or BACnet/IP devices, with physics and faults.

Run it with ``python -m simulator`` or ``python -m simulator.bacnet``. The way of a request:

    modbus_server.py -> faulty_registers.py -> panel_registers.py -> simulated_panel.py -> loads
                                            -> equipment_registers.py -> rooftop_unit.py, ...
    control_port.py (for tests) -> fault_injector.py -> faulty_registers.py, simulated_panel.py

Only the servers and the control port do I/O; only ``moment.py`` reads a clock. Each library is in
one place: pymodbus in ``modbus_server.py``, bacpypes in ``bacnet_server.py`` and
``bacnet_objects.py``. ``simulated_panel_control.py``, the client of the control port, needs the
standard library alone.
"""
