"""The operator's side as a VEN towards a VTN (docs/openadr.md has the trace of the standard)."""
