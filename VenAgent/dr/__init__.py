"""The pure core: panel, baseline, curtailment, event. No I/O, no threads, no clock of its own.

Inputs and a time go in, effects come out as plain values; see `engine.py`.
"""
