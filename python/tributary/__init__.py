"""Tributary: train one model across many machines that keep their data.

Take part:  join() -> Client, iterate for Task.
Run one:    serve() -> Server, Run, export(); combine() with a rule of your own.
Try one:    simulate(), a fleet in virtual time.
"""
from .client import Client, Task, join
from .combiner import combine
from .errors import (ForkedError, InvalidError, ModelError, RefusedError, TributaryError,
                     UnreachableError)
from .run import Run, export
from .server import Server, serve
from .simulate import Delta, simulate

__version__ = "0.1.0"
__all__ = ["Client", "Delta", "ForkedError", "InvalidError", "ModelError", "RefusedError", "Run",
           "Server", "Task", "TributaryError", "UnreachableError", "combine", "export", "join",
           "serve", "simulate"]
