"""What a function raised, in words: see shared/thrown.ts."""

import os
import sys

from .description import name_of_type, quoted, text_of
from .late_import import import_late
from .options import Options

# Longest message and longest stack: PART_LENGTH_MAX of shared/thrown.ts.
PART_LENGTH_MAX = 16 * 1024

HOST_DIRECTORY = os.path.dirname(__file__)


def thrown_of(error):
    """Returns the name, the message and the stack of an exception, which may be anything."""
    kind = type(error)
    try:
        frames = user_frames(error.__traceback__)
        stack = "".join(import_late("traceback").format_exception(kind, error, frames))
        if Options.library_directory:
            stack = stack.replace(Options.library_directory, "")
    except Exception:
        # Its own methods raised; its name and its text may still be had.
        stack = ""
    return name_of_type(kind), cut_end(text_of(error)), cut_middle(stack.rstrip())


def thrown_json(error):
    """Returns an exception as a result tells it."""
    return '{"name":%s,"message":%s,"stack":%s}' % tuple(quoted(part) for part in thrown_of(error))


def user_frames(frames):
    """Returns a traceback without the outermost frames that are the host's or asyncio's."""
    asyncio = sys.modules.get("asyncio")
    above = (HOST_DIRECTORY,) + ((os.path.dirname(asyncio.__file__),) if asyncio else ())
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(above):
        frames = frames.tb_next
    return frames


def cut_end(text):
    return text if len(text) <= PART_LENGTH_MAX else text[:PART_LENGTH_MAX] + "\u2026"


def cut_middle(text):
    """Keeps the beginning and, more of it, the end of a stack: Python's ends with the error."""
    if len(text) <= PART_LENGTH_MAX:
        return text
    half = PART_LENGTH_MAX // 4
    return "%s\n  \u2026\n%s" % (text[:half], text[half + 8 - PART_LENGTH_MAX :])
