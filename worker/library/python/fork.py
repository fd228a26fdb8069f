"""Runs each call in a forked child of its own, some at a time."""

import gc
import os
import select
from _collections import deque
from os import _exit, close, dup2, fork, getppid, pipe2, set_blocking, setpgid, waitpid
from select import PIPE_BUF
from sys import modules
from time import perf_counter_ns

from .call_protocol import (
    CALLS_AHEAD_MAX,
    CALLS_FD,
    PROTOCOL_FDS,
    READ_BYTES,
    RESULTS_FD,
    VALUE_BYTES_MAX,
    Call,
    MessageReader,
    result_of,
    write_all,
)
from .captured_output import Output, flush_streams, remove_if_there
from .late_import import LATE_NAMES, import_late, imported_names
from .library import Library
from .library_call import perform
from .process_tree import SIGKILL, death_of, kill_group, kill_tree
from .value_writer import encode_value

PR_SET_PDEATHSIG = 1

# Python 3.11 and later adapt code within so many runs.
WARM_UP_COUNT = 64

# How often children are looked at whose pipe is held by what was started in another way.
CHECK_MS = 1000

# Room for most results; the read of more is repeated.
CHILD_READ_BYTES = 8 * 1024


class Child:
    """A process that runs a call, until it is gone."""

    def __init__(self, call, pid, pipe, output):
        self.call = call
        self.pid = pid
        # Where its result comes from; the parent alone writes to the worker, so that a child that
        # is killed leaves no half of a message. Its end tells that the process has ended: what
        # that starts does not get it (`close_protocol`).
        self.pipe = pipe
        self.output = output
        self.chunks = []
        self.size = 0
        # Size of the result with its line; 0 before that line is there.
        self.wanted = 0
        self.is_stopping = False
        self.is_answered = False


class ForkServer:
    """Forks a child for each call, up to `slots` at a time."""

    def __init__(self, library, slots, libc):
        self.library = library
        self.slots = slots
        self.prctl = prctl_of(libc)
        self.home = os.getcwd()
        self.pid = os.getpid()
        self.reader = MessageReader(CALLS_FD)
        # At most `slots` and `CALLS_AHEAD_MAX` with those that run, as the worker was told.
        self.waiting = deque()
        # {pipe: child}
        self.children = {}
        # Children without an answer.
        self.running_count = 0
        # Twice as many as slots: a call need not wait for the end of the process before it.
        self.outputs = [Output("-%d" % index) for index in range(2 * slots)]
        # What goes to the worker with the next write.
        self.unsent = []
        self.poll = select.poll()
        # What children had to import.
        self.late_names = []

    def serve(self):
        warm_up(self.home)
        imported_names.clear()
        self.poll.register(CALLS_FD, select.POLLIN)
        write_all(RESULTS_FD, b"ready %d\n" % CALLS_AHEAD_MAX)
        try:
            while True:
                events = self.poll.poll(CHECK_MS if self.children else None)
                for fd, _ in events:
                    if fd != CALLS_FD:
                        self.read_child(self.children[fd])
                    elif not self.read():
                        return
                if not events:
                    self.look_for_dead()
                self.send()
                if self.late_names:
                    self.import_late()
                self.start_waiting()
                self.send()
        finally:
            for child in self.children.values():
                kill_group(child.pid)

    def send(self):
        if self.unsent:
            write_all(RESULTS_FD, b"".join(self.unsent))
            self.unsent = []

    def read(self):
        messages = self.reader.read()
        for message in messages or ():
            if type(message) is Call:
                self.waiting.append(message)
            elif message[0] == b"drop" and self.take_waiting(message[1]):
                self.unsent.append(b"dropped %b\n" % message[1])
            elif message[0] == b"stop":
                self.stop(message[1])
        return messages is not None

    def import_late(self):
        """Imports what a child had to import, so that no other has to."""
        for name in LATE_NAMES.intersection(self.late_names):
            try:
                import_late(name)
            except Exception:
                # The child could; if the next has to do it as well, that works too.
                pass
        self.late_names = []
        imported_names.clear()
        gc.freeze()

    def take_waiting(self, id):
        for call in self.waiting:
            if call.id == id:
                self.waiting.remove(call)
                return True
        return False

    def stop(self, id):
        """Kills a running call; the answer comes when its process is gone."""
        if self.take_waiting(id):
            self.unsent.append(b"result %b stopped 0\n" % id)
        for child in self.children.values():
            if child.call.id == id and not child.is_answered and not child.is_stopping:
                child.is_stopping = True
                kill_tree(child.pid)

    def start_waiting(self):
        while self.waiting and self.running_count < self.slots and self.outputs:
            call = self.waiting.popleft()
            try:
                self.start(call)
            except OSError as error:
                # No more processes or descriptors: not the fault of the call.
                text = 'The process of function "%s" cannot be started: %s' % (call.name, error)
                self.unsent.append(result_of(call.id, b"exit", text.encode(), (b"", b""), 0))

    def start(self, call):
        # Neither end blocks: the child makes it so when it writes more than a pipe surely holds.
        pipe, child_pipe = pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        output = self.outputs[-1]
        PROTOCOL_FDS.add(pipe)
        try:
            pid = fork()
        except OSError:
            PROTOCOL_FDS.discard(pipe)
            close(pipe)
            close(child_pipe)
            raise
        if pid == 0:
            self.run_child(call, child_pipe, output)
        close(child_pipe)
        self.outputs.pop()
        self.children[pipe] = Child(call, pid, pipe, output)
        self.running_count += 1
        self.poll.register(pipe, select.POLLIN)
        if call.directory:
            self.unsent.append(b"running %b %d\n" % (call.id, pid))

    def run_child(self, call, pipe, output):
        """Runs a call in this process, which is a child, and ends it."""
        try:
            PROTOCOL_FDS.add(pipe)
            setpgid(0, 0)
            if self.prctl is not None:
                self.prctl(PR_SET_PDEATHSIG, SIGKILL)
            if getppid() != self.pid:
                # The parent died before.
                _exit(0)
            dup2(output.stdout, 1)
            dup2(output.stderr, 2)
            library = self.library
            library.loop = None
            if "numpy.random" in modules:
                # As the module random does by itself: or all children have the same numbers.
                modules["numpy.random"].seed()
            message = message_of(library, call, self.home)
            if len(message) > PIPE_BUF:
                set_blocking(pipe, True)
            write_all(pipe, message)
        finally:
            # Waits for no thread, and flushes nothing that the parent has in a buffer as well.
            _exit(0)

    def read_child(self, child):
        """Reads from the pipe of a child and returns True unless nothing was there."""
        try:
            chunk = os.read(child.pipe, READ_BYTES if child.wanted else CHILD_READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self.bury(child)
        elif not child.is_answered:
            child.chunks.append(chunk)
            child.size += len(chunk)
            if child.size >= child.wanted:
                self.take_result(child)
        return bool(chunk)

    def take_result(self, child):
        data = b"".join(child.chunks)
        line, newline, content = data.partition(b"\n")
        words = line.split(b" ")
        try:
            status, size, microseconds = words[0], int(words[1]), int(words[2])
            late_names = words[3]
        except (IndexError, ValueError):
            status, size, microseconds, late_names = b"", 0, 0, b""
        if status not in (b"ok", b"error", b"file") or not 0 <= size <= VALUE_BYTES_MAX:
            # The function itself wrote to this pipe.
            return kill_group(child.pid)
        child.wanted = len(line) + len(newline) + size
        if child.size >= child.wanted:
            # It is through, and what it started ends with it.
            kill_group(child.pid)
            self.answer(child, status, content, microseconds)
            if late_names:
                self.late_names.extend(late_names.decode("utf-8", "replace").split(","))

    def answer(self, child, status, content, microseconds):
        child.is_answered = True
        child.chunks.clear()
        self.running_count -= 1
        printed = child.output.take()
        self.unsent.append(result_of(child.call.id, status, content, printed, microseconds))

    def bury(self, child):
        """Takes leave of a process that is dead, or about to be."""
        # It is waited for after its group is killed, which is its own as long as it is not.
        kill_group(child.pid)
        _, status = waitpid(child.pid, 0)
        if not child.is_answered:
            remove_if_there(os.path.join(self.home, "value-%s" % child.call.id.decode()))
            if child.is_stopping:
                self.answer(child, b"stopped", b"", 0)
            else:
                name, how = child.call.name, death_of(status)
                text = 'The process of function "%s" died: %s' % (name, how)
                self.answer(child, b"exit", text.encode(), 0)
        self.poll.unregister(child.pipe)
        PROTOCOL_FDS.discard(child.pipe)
        close(child.pipe)
        del self.children[child.pipe]
        self.outputs.append(child.output)

    def look_for_dead(self):
        """Finds children that have ended though something holds their pipe."""
        for child in list(self.children.values()):
            # Left for `bury` to reap.
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            while self.read_child(child):
                pass
            if child.pipe in self.children:
                self.bury(child)


def message_of(library, call, home):
    """Runs a call and returns what its process tells the parent."""
    started = perf_counter_ns()
    status, content = perform(library, call, home)
    flush_streams()
    microseconds = (perf_counter_ns() - started) // 1000
    late = ",".join(imported_names).encode() if imported_names else b""
    return b"%b %d %d %b\n%b" % (status, len(content), microseconds, late, content)


def warm_up(home):
    """Runs what each child runs, until Python has adapted its code: a child would do it anew.

    What it writes while it adapts is memory that each child would have to copy.
    """
    library = Library()
    library.names = {"nothing": int.__bool__}
    call = Call(b"0", "nothing", encode_value((0,)), b"")
    for _ in range(WARM_UP_COUNT):
        message_of(library, call, home)


def prctl_of(libc):
    """Returns the function that makes a child die with its parent, or None."""
    if libc is None:
        return None
    import ctypes

    prctl = libc.prctl
    prctl.argtypes = (ctypes.c_int, ctypes.c_ulong)
    # Called once here, so that less of it is new to a child; 0 is what there is.
    prctl(PR_SET_PDEATHSIG, 0)
    return prctl
