"""Imports what few calls need when one needs it.

A module costs each start its time and, by its memory, each fork: that of `traceback` and `json`
is a fifth of a bare Python's. What a forked call had to import, its parent imports as well
(fork.py), so that no later call has to.
"""

import sys

# What may be imported late; the names are taken from a child that runs anything.
LATE_NAMES = frozenset(("datetime", "numpy", "pickle", "traceback"))

# Those that this process has imported late.
imported_names = []


def import_late(name):
    """Returns a module of `LATE_NAMES`."""
    module = sys.modules.get(name)
    if module is None:
        __import__(name)
        module = sys.modules[name]
        imported_names.append(name)
    return module
