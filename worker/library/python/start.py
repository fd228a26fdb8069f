"""Starts a library and serves its calls to their end."""

import gc
import os
import sys
import types

from .call_protocol import PROTOCOL_FDS, RESULTS_FD, close_protocol, write_all
from .captured_output import STREAM_KEPT_BYTES, flush_streams
from .direct import DirectServer
from .fork import ForkServer
from .library import Library, provide_tendril
from .options import Options
from .thrown import thrown_of


def main():
    options = read_options(sys.argv[1:])
    prepare_process(options["--module"])
    libc = load_libc()
    provide_tendril()
    Options.is_pickling = "--pickle" in options
    Options.library_name = options["--name"]
    module_directory = os.path.dirname(os.path.abspath(options["--module"]))
    Options.library_directory = os.path.join(module_directory, "")
    library = Library()
    try:
        library.load(options["--module"])
        if options["--context"]:
            library.run_context(options["--context"], options["--context-call"])
        if options["--mode"] == "fork":
            prepare_forks(library)
    except BaseException as error:
        name, message, stack = thrown_of(error)
        text = (stack or "%s: %s" % (name, message)).encode("utf-8", "replace")[:STREAM_KEPT_BYTES]
        write_all(RESULTS_FD, b"failed %d\n" % len(text) + text)
        flush_streams()
        os._exit(1)
    flush_streams()
    # What lives now lives on: it is not looked at again, nor its memory written to.
    gc.collect()
    gc.freeze()
    if options["--mode"] == "fork":
        server = ForkServer(library, int(os.environ.get("TENDRIL_SLOTS", "1")), libc)
    else:
        server = DirectServer(library)
    try:
        server.serve()
    except BrokenPipeError:
        # The worker is gone.
        pass
    end_process()


def read_options(words):
    options = {"--context": "", "--context-call": ""}
    words = iter(words)
    for word in words:
        options[word] = True if word == "--pickle" else next(words)
    return options


def prepare_process(module):
    """Makes this process one in which the library does not see the host."""
    for fd in PROTOCOL_FDS:
        os.set_inheritable(fd, False)
        os.set_blocking(fd, True)
    os.register_at_fork(after_in_child=close_protocol)
    # The library may lie in a cache that is not this process's to write to.
    sys.dont_write_bytecode = True
    sys.argv[:] = [module]
    # Functions that start processes with multiprocessing would have those run the host.
    sys.modules["_tendril_host.host"] = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    for stream in (sys.stdout, sys.stderr):
        # What a process printed before it died is in the file.
        stream.reconfigure(line_buffering=True)


def load_libc():
    """Returns the C library, or None where that cannot be had; nothing depends on it."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        # What C code prints is not kept in its buffer, or it would come with a later call.
        unbuffered = 2
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        libc.setvbuf(stdout, None, unbuffered, ctypes.c_size_t(0))
        return libc
    except Exception:
        # Python without ctypes, or another C library: C code may print late.
        return None


def prepare_forks(library):
    """Imports what calls will need, once instead of in each child."""
    if Options.is_pickling:
        import pickle  # noqa: F401
    if library.has_async_functions():
        import asyncio  # noqa: F401


def end_process():
    """Ends this process as Python does, but waits for no thread that a function left."""
    import atexit

    atexit._run_exitfuncs()
    flush_streams()
    os._exit(0)
