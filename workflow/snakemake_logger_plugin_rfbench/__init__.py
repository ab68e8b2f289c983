"""Snakemake's `--logger rfbench`: a line of state instead of pages of text; everything else is in its log file.

On a terminal the line is renewed every second, elsewhere there is a line for each finished run. Snakemake finds it
where this folder's parent is on the path of Python (`PYTHONPATH=workflow`, as `make` sets it).
"""

import logging
import shutil
import sys
import threading
import time

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from rfbench.progress import Job, Progress

TOLD = ("Complete log", "Nothing to be done")  # beginnings of Snakemake's own words that a person needs
LONGEST = 400  # characters of one line of an error


class LogHandler(LogHandlerBase):
    """Tells the state of the runs on standard error."""

    def __post_init__(self) -> None:
        self._progress = Progress()
        self._live = sys.stderr.isatty() and not self.common_settings.dryrun
        self._lock, self._stopped = threading.RLock(), threading.Event()
        if self._live:
            threading.Thread(target=self._renew, daemon=True).start()

    @property
    def writes_to_stream(self) -> bool:
        """Yes: it stands in for Snakemake's own text."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No: Snakemake's log file stays as it is."""
        return False

    @property
    def has_filter(self) -> bool:
        """Yes: it chooses by event."""
        return True

    @property
    def has_formatter(self) -> bool:
        """No: what it passes on is in Snakemake's words."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Take one message of Snakemake's."""
        try:
            text = self._text(record)
            if text:
                self._say(text)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """End the line of state."""
        self._stopped.set()
        if self._live:
            self._say("")
        super().close()

    def _text(self, record: logging.LogRecord) -> str:
        event, now = getattr(record, "event", None), time.monotonic()
        if self.common_settings.dryrun:
            return self.format(record)
        if event == LogEvent.RUN_INFO:
            return self._progress.plan(record.stats)
        if event == LogEvent.JOB_INFO:
            self._progress.start(record.jobid, _job(record), now)
        elif event == LogEvent.JOB_FINISHED:
            return self._progress.finish(record.job_id, now)
        elif event == LogEvent.JOB_ERROR:
            return self._progress.fail(record.jobid, _job(record))
        elif event == LogEvent.ERROR or (event is None and record.levelno >= logging.ERROR):
            text = self.format(record)
            # That a job's command failed, with the whole of it, beside what the job itself said.
            return "" if text.startswith("RuleException:\nCalledProcessError") else _shortened(text)
        elif event is None and record.getMessage().startswith(TOLD):
            return record.getMessage()
        return ""

    def _say(self, text: str) -> None:
        """Print lines, on a terminal above the line of state."""
        with self._lock:
            clear = "\r\x1b[K" if self._live else ""
            sys.stderr.write(f"{clear}{text}\n" if text else clear)
            sys.stderr.flush()

    def _renew(self) -> None:
        """Write the line of state anew every second."""
        while not self._stopped.wait(1):
            with self._lock:
                if self._progress.planned and not self._stopped.is_set():
                    width = shutil.get_terminal_size().columns - 1
                    sys.stderr.write(f"\r\x1b[K{self._progress.status(time.monotonic())[:width]}")
                    sys.stderr.flush()


def _shortened(text: str) -> str:
    return "\n".join(line[:LONGEST] for line in text.splitlines())


def _job(record: logging.LogRecord) -> Job:
    """The job that a message is about."""
    wildcards = getattr(record, "wildcards", None) or {}
    return Job(record.rule_name, dict(wildcards), list(record.output or ()), list(record.log or ()))
