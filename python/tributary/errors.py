"""errors.py - what can go wrong, as exceptions that say what to do."""


class TributaryError(Exception):
    """The base of them all."""


class RefusedError(TributaryError):
    """The daemon said no; sending the same again will not help."""


class UnreachableError(TributaryError, ConnectionError):
    """No useful answer for as long as `retry_for`."""


class InvalidError(TributaryError, ValueError):
    """An argument, or a reply, makes no sense. Nothing has been sent."""


class ModelError(InvalidError):
    """Names, shapes, dtypes or values do not fit the model of the run. Nothing has been sent."""


class ForkedError(TributaryError, RuntimeError):
    """A client was used in a process that was forked after joining; join again in that process."""
