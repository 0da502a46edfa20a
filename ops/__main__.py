"""`python -m ops`: what scripts/ven_control.sh runs."""

from ops.cli import main

main()
