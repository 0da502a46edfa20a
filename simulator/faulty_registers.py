"""A device's registers with its faults in front. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.device_faults import DeviceFaults, RegisterSpot
from simulator.moment import Moment
from simulator.register_table import ILLEGAL_ADDRESS, RegisterTable, RegisterTableError
from simulator.simulated_device import SimulatedDevice


class FaultyRegistersSilent(Exception):
    """The device stays silent: the master runs into its own time-out."""


class FaultyRegisters:
    """The registers of one device. Without faults, it changes nothing."""

    def __init__(self, device: SimulatedDevice) -> None:
        self.device = device
        self.faults = DeviceFaults()
        self._shown_words: dict[RegisterSpot, list[tuple[float, int]]] = {}
        """What a lagging read-back still shows, and until when, oldest first."""

    def admit(self, moment: Moment) -> float:
        """Let one request in: the delay of its answer in s, or FaultyRegistersSilent."""
        faults = self.faults
        # A connection accepted in the instant the socket closed must not be served either.
        if faults.refused or faults.is_away(moment) or faults.request_is_lost():
            raise FaultyRegistersSilent
        return faults.delay_sec

    def read(self, table: RegisterTable, address: int, count: int, moment: Moment) -> list[int]:
        """As `SimulatedDevice.read`, or silence, an exception, or what is not true."""
        self._may_be_silent(table, address, count)
        if _touches(self.faults.illegal_on_read, table, address, count):
            raise RegisterTableError(ILLEGAL_ADDRESS)
        words = self.device.read(table, address, count, moment)
        frozen = self.faults.frozen_words
        if table is RegisterTable.INPUT and frozen is not None:
            words = [frozen[each] for each in range(address, address + count)]
        for index in range(count):
            words[index] = self._shown_word((table, address + index), words[index], moment)
        return self._falsified(table, address, words)

    def write(
        self, table: RegisterTable, address: int, values: Sequence[int], moment: Moment
    ) -> None:
        """As `SimulatedDevice.write`, or silence, or an exception; then nothing was written."""
        self._may_be_silent(table, address, len(values))
        if _touches(self.faults.silent_on_write, table, address, len(values)):
            raise FaultyRegistersSilent
        if _touches(self.faults.illegal, table, address, len(values)):
            raise RegisterTableError(ILLEGAL_ADDRESS)
        lag_sec = self.faults.readback_lag_sec
        before = self.device.read(table, address, len(values), moment) if lag_sec else []
        self.device.write(table, address, values, moment)
        for spot_address, word in enumerate(before, address):
            shown = self._shown_words.setdefault((table, spot_address), [])
            shown.append((moment.mono_sec + lag_sec, word))

    def freeze_meter(self, moment: Moment) -> None:
        """From now on the input registers keep this moment's values."""
        self.faults.frozen_words = {
            address: self.device.read(RegisterTable.INPUT, address, 1, moment)[0]
            for address in self.device.addresses[RegisterTable.INPUT]
        }

    def go_away(self, duration_sec: float, moment: Moment) -> None:
        """Answer nothing for a while; what it holds stays."""
        self.faults.away_until_sec = moment.mono_sec + duration_sec

    def power_cycle(self, duration_sec: float, moment: Moment) -> None:
        """Lose the supply for a while: nothing answers, and at once all is as at power-up."""
        self.go_away(duration_sec, moment)
        self.faults.power_cycled = True
        self._shown_words.clear()
        self.device.power_up(moment)

    def clear(self) -> None:
        """All faults off, those behind the registers too."""
        self.faults = DeviceFaults()
        self.device.clear_faults()
        self._shown_words.clear()

    def list_faults(self, moment: Moment) -> list[dict[str, Any]]:
        """The faults that are on, in the words of the control port."""
        return [*self.device.list_faults(), *self.faults.listed(moment)]

    def _may_be_silent(self, table: RegisterTable, address: int, count: int) -> None:
        if self.faults.refused or _touches(self.faults.silent, table, address, count):
            raise FaultyRegistersSilent

    def _shown_word(self, spot: RegisterSpot, word: int, moment: Moment) -> int:
        shown = self._shown_words.get(spot)
        if not shown:
            return word
        shown[:] = [each for each in shown if each[0] > moment.mono_sec]
        return shown[0][1] if shown else word

    def _falsified(self, table: RegisterTable, address: int, words: list[int]) -> list[int]:
        for each in tuple(self.faults.false_readings):
            if not each.overlaps(table, address, len(words)):
                continue
            for index, word in enumerate(each.words, each.address - address):
                if 0 <= index < len(words):
                    words[index] = word
            if each.times_left is not None:
                each.times_left -= 1
                if each.times_left <= 0:
                    self.faults.false_readings.remove(each)
        return words


def _touches(spots: set[RegisterSpot], table: RegisterTable, address: int, count: int) -> bool:
    return bool(spots) and any((table, each) in spots for each in range(address, address + count))
