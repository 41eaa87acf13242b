"""What a planning process runs: ``python -m handlers.planning_process DESCRIPTOR``; only the pool starts it."""

import socket
import sys

from core.planning.geography import zip_states
from handlers.bootstrap import open_store
from infra.clock import SystemClock
from infra.planning_process import serve_jobs
from infra.telemetry import configure_logging, report_uncaught


def main() -> None:
    """Serve the parent at the other end of the inherited socket."""
    configure_logging()
    report_uncaught()
    store = open_store()
    zip_states()  # what the first run would load
    serve_jobs(socket.socket(fileno=int(sys.argv[1])), store, SystemClock())


if __name__ == "__main__":
    main()
