"""The backend's settings: environment variables, in every spelling that docs/backend.md names."""
