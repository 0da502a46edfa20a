"""The operator's side as a VEN of a utility's VTN: OpenADR 3.1, 3.0 and 2.0b (docs/openadr.md).

`event` says in our words what a VTN asks, whichever version it speaks; `schedule` makes events of
the operator's side of it; `reconcile` brings these into being, once; `report` answers. `vtn3` and
`vtn20b` speak the two protocols. Only `operator_side` knows the rest of the backend.
"""
