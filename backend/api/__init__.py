"""The operator's REST API: CONTRACT.md's calls, keys and roles, audit, health and metrics."""
