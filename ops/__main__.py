"""`python -m ops COMMAND`: what scripts/ven_control.sh runs."""

import sys

try:
    from ops.cli.ven_control import main

    main()
except KeyboardInterrupt:  # already while the commands are loaded
    sys.exit(130)
