"""Errors whose message is written for the user; the command line prints them without a traceback."""


class RFBenchError(Exception):
    """A problem the user can act on: the file or key, what was expected, what was found, what to do."""


class DataError(RFBenchError):
    """A source archive or a prepared data set that is missing, damaged or not what it should be."""
