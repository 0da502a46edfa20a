"""The operator's REST API: docs/rest-api.md, with keys and roles, audit, health and metrics."""
