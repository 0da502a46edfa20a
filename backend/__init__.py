"""The operator's side of demand response: ingest, store, dispatch, measure, API, console.

Of VenAgent it imports the wire contract (`VenAgent.contract`) and the baselines
(`VenAgent.baseline`), and nothing else.
"""
