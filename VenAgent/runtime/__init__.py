"""Carries out the core's effects, takes in what comes, owns the timers."""
