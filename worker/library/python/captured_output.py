"""What each call prints, apart from what others print."""

import os
import sys
from os import SEEK_END, lseek

# Most that is kept of a stream: STREAM_KEPT_BYTES of shared/protocol.ts.
STREAM_KEPT_BYTES = 64 * 1024


class Output:
    """Two files that keep what a call prints apart, whoever prints it in its processes."""

    def __init__(self, suffix=""):
        self.stdout = open_new("stdout" + suffix)
        self.stderr = open_new("stderr" + suffix)

    def redirect(self):
        """From here on, what this process prints goes into the files."""
        os.dup2(self.stdout, 1)
        os.dup2(self.stderr, 2)

    def take(self):
        """Returns the end of what is in each file and empties them."""
        return take_printed(self.stdout), take_printed(self.stderr)


def open_new(path):
    """Opens a new file: what has its name may be a link into the worker's cache."""
    remove_if_there(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def take_printed(fd):
    size = lseek(fd, 0, SEEK_END)
    if size == 0:
        return b""
    kept = os.pread(fd, STREAM_KEPT_BYTES, max(0, size - STREAM_KEPT_BYTES))
    os.ftruncate(fd, 0)
    return kept


def flush_streams():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            # Closed or replaced by the library, or its disk is full: its own loss.
            pass


def remove_if_there(path):
    try:
        os.unlink(path)
    except OSError:
        # Not there, or nobody can remove it: its directory goes with the instance.
        pass
