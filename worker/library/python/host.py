"""The process that serves the calls of a Python library.

It imports the library, runs its context function once, then the calls, as call_protocol.ts says:
one after the other ("direct"), or each in a forked child of its own ("fork").

    python3 host.py --module PATH --name NAME --mode direct|fork
        [--context FUNCTION] [--context-call FILE] [--pickle]

It needs Python 3.8 and its standard library alone, and imports little of that: what is imported
here costs each start, and what is not imported before a fork would cost each call. This file must
be readable by any Python 3, so that an old one can say what is wrong.

The files beside it are modules of a package that exists in this process only: a library may have
modules of the same names.
"""

import os
import sys


def refuse_old_python():
    """Ends the process under a Python that cannot serve."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    text = "Cannot serve a Python library with Python %s: it needs 3.8 or later" % found
    text = text.encode("utf-8")
    os.write(4, ("failed %d\n" % len(text)).encode("utf-8") + text)
    os._exit(1)


def make_package():
    """Makes the package of the host, and its directory none that modules are looked for in."""
    directory = os.path.dirname(os.path.realpath(__file__))
    if sys.path and os.path.realpath(sys.path[0]) == directory:
        del sys.path[0]
    package = type(sys)("_tendril_host")
    package.__path__ = [directory]
    sys.modules["_tendril_host"] = package


if __name__ == "__main__":
    if sys.version_info < (3, 8):
        refuse_old_python()
    make_package()
    from _tendril_host.start import main

    main()
