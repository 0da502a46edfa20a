"""Repairs VOLTTRON 10 and 11 on Python 3.11, in the environment of the Python that runs this.

`VIPError.from_errno` takes an error number for a name ('int' object has no attribute 'split'). So
the first message to an agent that is gone ends the VIP loop of whoever sent it: the platform too,
when an agent is installed anew, and the actuator, when the driver stops. One line is mended, where
it stands; what is mended already, or differs, is left alone.
"""

import importlib.util
import sys
from pathlib import Path

BROKEN = "errnum = getattr(errno, errnum.split('.')[-1])"
MENDED = (
    "errnum = int(errnum) if str(errnum).isdigit() else getattr(errno, str(errnum).split('.')[-1])"
)


def repair_volttron_source(text: str) -> str:
    """The module's text with the line mended."""
    return text.replace(BROKEN, MENDED)


def _main() -> None:
    found = importlib.util.find_spec("volttron")  # not its inside: that would import gevent
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        path = Path(folder) / "client/vip/agent/errors.py"
        if not path.exists():
            continue
        text = path.read_text()
        if BROKEN in text:
            path.write_text(repair_volttron_source(text))
        elif MENDED not in text:
            print(f"warning: {path} is not as expected and was not repaired", file=sys.stderr)


if __name__ == "__main__":
    _main()
