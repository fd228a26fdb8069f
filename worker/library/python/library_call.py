"""Runs a call in the process that it is in, and tells its end."""

import os

from .call_protocol import NO_ARGUMENTS, VALUE_BYTES_MAX
from .captured_output import open_new, remove_if_there
from .thrown import thrown_json, thrown_of
from .value_writer import NONE, WRITERS, check_size, encode_value, write_head, write_list


def perform(library, call, home):
    """Runs a call and returns the status and the content of its result."""
    try:
        if call.directory:
            os.chdir(call.directory)
        name = call.name
        arguments = () if call.data == NO_ARGUMENTS else call.read_arguments()
        # Most functions are found in this one step.
        function = library.names.get(name)
        if name[0] == "*":
            content = perform_batch(library, library.function(name[1:]), *arguments)
        else:
            if name[0] == "_" or not callable(function):
                function = library.function(name)
            value = function(*arguments)
            if value is None:
                return b"ok", NONE
            content = encode_value(value if type(value) in WRITERS else library.awaited(value))
        if len(content) <= VALUE_BYTES_MAX:
            return b"ok", content
        return b"file", keep_value(content, os.path.join(home, "value-%s" % call.id.decode()))
    except BaseException as error:
        # Also SystemExit and KeyboardInterrupt: a function cannot end the host.
        return b"error", thrown_json(error).encode("ascii")


def perform_batch(library, function, calls, stops_at_failure):
    """Calls a function once per list of arguments; what fails is the item and not the batch."""
    ends = bytearray()
    count = 0
    for arguments in calls:
        count += 1
        try:
            ends += b"\x82\xf5" + encode_value(library.call(function, arguments))
        except BaseException as error:
            write_list(ends, (False,) + thrown_of(error), 1)
            if stops_at_failure:
                break
        check_size(len(ends))
    head = bytearray()
    write_head(head, 0x80, count)
    return head + ends


def keep_value(content, path):
    """Writes a value that is too large for a message into a file; returns its path as bytes."""
    try:
        with os.fdopen(open_new(path), "wb") as file:
            file.write(content)
    except BaseException:
        remove_if_there(path)
        raise
    return os.fsencode(path)
