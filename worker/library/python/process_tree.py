"""Ends processes with all that they started."""

import os
from _signal import SIGKILL, SIGSTOP


def death_of(status):
    """Returns how a process ended, in words."""
    if not os.WIFSIGNALED(status):
        return "exit code %d" % os.WEXITSTATUS(status)
    import signal

    number = os.WTERMSIG(status)
    try:
        return "killed by %s" % signal.Signals(number).name
    except ValueError:
        return "killed by signal %d" % number


def kill_group(pid):
    """Kills a child that was not reaped yet, and its group."""
    try:
        os.killpg(pid, SIGKILL)
    except ProcessLookupError:
        # It has not made its group yet, or left it.
        pass
    os.kill(pid, SIGKILL)


def kill_tree(pid):
    """As `kill_group`, with what left the group."""
    # So that nothing new is born while they are looked for.
    os.kill(pid, SIGSTOP)
    members = descendants_of(pid)
    kill_group(pid)
    for member in members:
        try:
            os.kill(member, SIGKILL)
        except OSError:
            # It went with its group, or is another user's.
            pass


def descendants_of(pid):
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % entry, "rb") as file:
                # The name before may hold anything, brackets too.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found[1:]
