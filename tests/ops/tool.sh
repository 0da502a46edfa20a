#!/bin/sh
# The command that bash asks for completions, with the tests' Python.
exec "$PYTHON" -m ops "$@"
