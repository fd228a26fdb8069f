"""Runs calls in the process of the library, one after the other."""

import os
from _collections import deque
from time import perf_counter

from .call_protocol import (
    CALLS_AHEAD_MAX,
    CALLS_FD,
    RESULTS_FD,
    Call,
    MessageReader,
    result_of,
    write_all,
)
from .captured_output import Output, flush_streams
from .library_call import perform

# What took so long is followed by `sync`: SYNC_AFTER_MS of call_protocol.ts.
SYNC_AFTER_S = 0.010


class DirectServer:
    """Runs the calls in this process, one at a time, in order."""

    def __init__(self, library):
        self.library = library
        self.home = os.getcwd()
        self.reader = MessageReader(CALLS_FD)
        self.output = Output()
        self.log = (os.dup(1), os.dup(2))
        # At most `CALLS_AHEAD_MAX` and one, as the worker was told.
        self.waiting = deque()
        self.is_synced = False

    def serve(self):
        write_all(RESULTS_FD, b"ready %d\n" % CALLS_AHEAD_MAX)
        while self.waiting or self.read():
            if self.waiting:
                self.run(self.waiting.popleft())

    def read(self):
        """Waits for messages, while what threads of earlier calls print goes to the log."""
        os.dup2(self.log[0], 1)
        os.dup2(self.log[1], 2)
        messages = self.reader.read()
        self.output.redirect()
        for message in messages or ():
            if type(message) is Call:
                self.waiting.append(message)
            elif message[0] == b"drop":
                self.drop(message[1])
            elif message[0] == b"sync":
                self.is_synced = True
        return messages is not None

    def drop(self, id):
        for call in self.waiting:
            if call.id == id:
                self.waiting.remove(call)
                return write_all(RESULTS_FD, b"dropped %b\n" % id)

    def run(self, call):
        started = perf_counter()
        status, content = perform(self.library, call, self.home)
        flush_streams()
        seconds = perf_counter() - started
        printed = self.output.take()
        write_all(RESULTS_FD, result_of(call.id, status, content, printed, int(seconds * 1e6)))
        if call.directory:
            os.chdir(self.home)
        if seconds >= SYNC_AFTER_S:
            self.sync()

    def sync(self):
        """Reads all that the worker wrote until it was told of a long call."""
        self.is_synced = False
        write_all(RESULTS_FD, b"sync\n")
        while not self.is_synced and self.read():
            pass
