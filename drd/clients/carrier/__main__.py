"""The carrier's child: does the one job that the file named on its command line describes, and says how it went.

Signals keep their default meaning, sudden death: files are put whole or not at all, so there is nothing to clean up.
Only who sends packs ahead brings to its end what is under way, for it would have to go again; over ssh it cannot,
since the same signal ends that.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drd.clients.carrier.errands import do
from drd.clients.carrier.job import Family, Job, Saying
from drd.clients.carrier.report import Report
from drd.core.errors import DrdError, RepositoryMissing, StoreAway, TransientError


def main(job_file: str) -> int:
    """Do the job and return the exit status: 0 when it was done, 1 when an error was said."""
    report = Report()
    try:
        do(Job.from_bytes(Path(job_file).read_bytes()), report)
    except DrdError as error:
        report.say(Saying.ERROR, family=_family(error).value, message=error.message, hint=error.hint)
        return 1
    report.done()
    return 0


def _family(error: DrdError) -> Family:
    if isinstance(error, StoreAway):
        return Family.AWAY
    if isinstance(error, RepositoryMissing):
        return Family.MISSING
    return Family.TRANSIENT if isinstance(error, TransientError) else Family.PERMANENT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
