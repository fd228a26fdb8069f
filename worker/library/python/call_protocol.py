"""The call protocol: see call_protocol.ts."""

import os

from .description import described
from .value_reader import References, decode_value

CALLS_FD = 3
RESULTS_FD = 4

# The limits of call_protocol.ts and shared/protocol.ts.
LINE_BYTES_MAX = 512
CALLS_AHEAD_MAX = 256
VALUE_BYTES_MAX = 1024 * 1024

# An empty list.
NO_ARGUMENTS = b"\x80"

# Most bytes that one read takes from a pipe.
READ_BYTES = 64 * 1024


class Call:
    """A call as it came."""

    __slots__ = ("id", "name", "data", "directory", "files")

    def __init__(self, id, name, data, paths):
        self.id = id  # bytes of its digits
        self.name = name
        self.data = data
        lines = str(paths, "utf-8").split("\n") if paths else [""]
        self.directory = lines[0]
        self.files = lines[1:-1]

    def read_arguments(self):
        if self.data == NO_ARGUMENTS:
            return ()
        arguments = decode_value(self.data, References(self.files))
        if type(arguments) is not list:
            raise TypeError("Cannot read arguments as an array: %s" % described(arguments))
        return arguments


class MessageReader:
    """Reads the worker's messages from a pipe, many at a time."""

    def __init__(self, fd):
        self.fd = fd
        self.chunks = []
        self.size = 0
        # The size below which `chunks` hold no whole message.
        self.wanted = 0

    def read(self):
        """Returns the messages of one read, or None at the end of the pipe."""
        chunk = os.read(self.fd, READ_BYTES)
        return self.take(chunk) if chunk else None

    def take(self, chunk):
        """Returns the messages that a chunk completes: calls, and lists of words."""
        if self.size > 0:
            self.chunks.append(chunk)
            self.size += len(chunk)
            if self.size < self.wanted:
                return []
            chunk = b"".join(self.chunks)
        messages = []
        at = wanted = 0
        size = len(chunk)
        while at < size:
            end = chunk.find(b"\n", at, at + LINE_BYTES_MAX + 1)
            if end < 0:
                if size - at > LINE_BYTES_MAX:
                    raise ValueError("Cannot read a line of the call protocol: it is too long")
                break
            words = chunk[at:end].split(b" ")
            if words[0] != b"call":
                messages.append(words)
                at = end + 1
                continue
            arguments_end = end + 1 + int(words[3])
            wanted = arguments_end + int(words[4])
            if wanted > size:
                wanted -= at
                break
            name = str(words[2], "utf-8")
            arguments = chunk[end + 1 : arguments_end]
            messages.append(Call(words[1], name, arguments, chunk[arguments_end:wanted]))
            at, wanted = wanted, 0
        self.chunks = [chunk[at:]] if at < size else []
        self.size = size - at
        self.wanted = wanted
        return messages


# Descriptors that no forked process may hold: the pipes of the worker, and in a parent of forked
# calls those of its children. A child has a pipe of its own here, which its own children lose.
PROTOCOL_FDS = {CALLS_FD, RESULTS_FD}


def close_protocol():
    """Runs in each process that is forked from here, by the host or by a function."""
    for fd in PROTOCOL_FDS:
        try:
            os.close(fd)
        except OSError:
            # A function closed it: its call cannot be answered, but this is another process.
            pass
    PROTOCOL_FDS.clear()


def write_all(fd, data):
    # A function forked and both processes came back here: only the first has a call to answer.
    if not PROTOCOL_FDS:
        os._exit(0)
    written = os.write(fd, data)
    while written < len(data):
        data = memoryview(data)[written:]
        written = os.write(fd, data)


def result_of(id, status, content, printed, microseconds):
    """Returns the message of a result."""
    stdout, stderr = printed
    if not stdout and not stderr:
        # Most results.
        return b"result %b %b %d 0 0 %d\n%b" % (id, status, len(content), microseconds, content)
    sizes = (id, status, len(content), len(stdout), len(stderr), microseconds)
    return b"".join((b"result %b %b %d %d %d %d\n" % sizes, content, stdout, stderr))
