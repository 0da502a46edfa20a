"""One word for each unit that a point is measured in, however it is written."""

from __future__ import annotations

MEASUREMENT_UNITS = {
    "celsius": ("celsius", "c", "°c", "degc", "℃"),
    "fahrenheit": ("fahrenheit", "f", "°f", "degf", "℉"),
    "kelvin": ("kelvin", "k", "°k", "degk"),
    "ppm": ("ppm", "partspermillion"),
    "percent": ("percent", "%", "percentrelativehumidity", "%rh", "pct"),
    "kw": ("kw", "kilowatts"),
    "w": ("w", "watts"),
    "amps": ("a", "amps", "amperes"),
    "milliamps": ("ma", "milliamperes"),
    "volts": ("v", "volts"),
}
"""How people, registries and BACnet (`degreesCelsius`) write the units of a setting."""


def plain_measurement_unit(text: str) -> str:
    """Without what is written in many ways: case, spaces, dashes, "degrees"."""
    plain = text.lower().replace(" ", "").replace("-", "").replace("_", "")
    return plain.replace("degrees", "").replace("degree", "")


def measurement_unit_of(text: str) -> str | None:
    """The word of `MEASUREMENT_UNITS` for it; None for any other unit."""
    plain = plain_measurement_unit(text)
    return next((unit for unit, ways in MEASUREMENT_UNITS.items() if plain in ways), None)
