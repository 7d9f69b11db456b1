"""drd that kills itself as soon as an event is on record: `dying_daemon.py PATTERN --config FILE run`.

The line of the event is said after it was journaled and before anything is done that follows from it, so that this is
the death by `kill -9` between those two, each time at the same place.
"""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

from drd import app


def live(pattern: str, configuration: Path) -> None:
    """Live until a line is said that the pattern fits."""

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if re.search(pattern, line):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.exit(asyncio.run(app.run(configuration, os.environ, say)))


if __name__ == "__main__":
    live(sys.argv[1], Path(sys.argv[3]))
