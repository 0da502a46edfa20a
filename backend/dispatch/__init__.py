"""Dispatch: events become commands, each VEN is told once, from any number of instances.

The way of an event: `lifecycle` makes it active at its start and writes participants and commands
in one transaction; `outbox` claims commands, publishes them and marks those that the broker has
confirmed; `follow` looks after it while it lasts; `lifecycle` ends it and writes the restores.
All that is decided stands in the database before it is sent, so a kill at any point loses nothing:
what was claimed is published again when the claim is over, under the same correlationId.
"""
