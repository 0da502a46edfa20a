"""Ingest: from a broker or a stream into the store, every message exactly once.

A message is decoded, put into a batch, stored in one transaction, and acknowledged only after the
commit. What cannot be read goes to `dead_letters` with the reason, and never stops a batch.
"""
