"""The process that serves the calls of a Python library.

It imports the library, runs its context function once, then the calls, as call_protocol.ts says:
one after the other ("direct"), or each in a forked child of its own ("fork").

    python3 library_host.py --module PATH --name NAME --mode direct|fork
        [--context FUNCTION] [--context-call FILE] [--pickle]

It needs Python 3.8 and its standard library alone, and imports little of that: what is imported
here costs each start, and what is not imported before a fork would cost each call. The text must
be readable by any Python 3, so that an old one can say what is wrong; hence no f-strings.
"""

import sys

CALLS_FD = 3
RESULTS_FD = 4


def refuse_old_python():
    """Ends the process under a Python that cannot serve."""
    import os

    found = ".".join(str(part) for part in sys.version_info[:3])
    text = "Cannot serve a Python library with Python %s: it needs 3.8 or later" % found
    text = text.encode("utf-8")
    os.write(RESULTS_FD, ("failed %d\n" % len(text)).encode("utf-8") + text)
    os._exit(1)


if sys.version_info < (3, 8):
    refuse_old_python()

import array
import gc
import json
import os
import select
import signal
import struct
import time
import traceback
import types
from collections import deque

# The limits of shared/protocol.ts, shared/value.ts, shared/thrown.ts and call_protocol.ts.
STREAM_KEPT_BYTES = 64 * 1024
VALUE_BYTES_MAX = 1024 * 1024
RESULT_BYTES_MAX = 1024 * 1024 * 1024
PART_LENGTH_MAX = 16 * 1024
LINE_BYTES_MAX = 512
CALLS_AHEAD_MAX = 256
SYNC_AFTER_S = 0.010

# Most bytes that one read takes from a pipe.
READ_BYTES = 64 * 1024

# Longest path and longest list of names in a message.
SHOWN_LENGTH_MAX = 300

HOST_FILE = __file__


# Values as bytes: see shared/value.ts. An array or typed array of numpy and of the array module
# travel alike. An array of numpy without dimensions is a number, and one of several has the tag 40
# of RFC 8746. That has no arrays of booleans: they are lists.

DEPTH_MAX = 128
BIGINT_BYTES_MAX = 16 * 1024
SAFE_INTEGER_MAX = 2**53 - 1

DATE_TEXT_TAG = 0
DATE_TAG = 1
BIGINT_TAG = 2
NEGATIVE_BIGINT_TAG = 3
DIMENSIONS_TAG = 40
SET_TAG = 258
MAP_TAG = 259
FILE_TAG = 0x54454E46  # TENF
VALUE_FILE_TAG = 0x54454E56  # TENV
PICKLE_TAG = 0x54454E50  # TENP: bytes of Python's pickle, for Python alone

# {kind and size of an element: its tag of RFC 8746}, all little-endian, and the other way round.
TYPED_ARRAY_TAGS = {
    "u1": 64, "u2": 69, "u4": 70, "u8": 71, "i1": 72, "i2": 77, "i4": 78, "i8": 79,
    "f2": 84, "f4": 85, "f8": 86,
}  # fmt: skip
TYPED_ARRAYS = {tag: kind for kind, tag in TYPED_ARRAY_TAGS.items()}
TYPED_ARRAYS[68] = "u1"  # clamped in JavaScript

# {kind and size of an element: code of the array module}, which has no half floats.
ARRAY_CODES = {
    kind + str(array.array(code).itemsize): code
    for kind, codes in (("u", "LQIHB"), ("i", "lqihb"), ("f", "df"))
    for code in codes
}

# Protocol 5 is the latest that Python 3.8 reads.
PICKLE_PROTOCOL = 5

PACK_1 = struct.Struct(">BB").pack
PACK_2 = struct.Struct(">BH").pack
PACK_4 = struct.Struct(">BI").pack
PACK_8 = struct.Struct(">BQ").pack
PACK_FLOAT = struct.Struct(">Bd").pack
UNPACK_2 = struct.Struct(">H").unpack_from
UNPACK_4 = struct.Struct(">I").unpack_from
UNPACK_8 = struct.Struct(">Q").unpack_from
UNPACK_HALF = struct.Struct(">e").unpack_from
UNPACK_FLOAT = struct.Struct(">f").unpack_from
UNPACK_DOUBLE = struct.Struct(">d").unpack_from


class Options:
    """What the process was asked for and found; one, so that no call carries it."""

    library_name = ""
    is_pickling = False
    # Set when an import of numpy failed: it is not looked for again.
    lacks_numpy = False


class Pickled:
    """A value that travels as pickle whatever the options say."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Refused(Exception):
    """Something that cannot travel. The way to it is noted while the exception goes up."""

    def __init__(self, found):
        super().__init__(found)
        self.found = found
        # From the inside out: what leads from a holder to the next, and the holders.
        self.keys = []
        self.holders = []

    def pass_through(self, holder, key):
        self.keys.append(key)
        self.holders.append(holder)

    def error(self):
        """Returns what the user is told."""
        keys, found = self.keys[::-1], self.found
        # A holder that comes twice on the way down contains itself.
        depths = {}
        for depth, holder in enumerate(reversed(self.holders)):
            if id(holder) in depths:
                keys, found = keys[:depth], "an object that contains itself"
                break
            depths[id(holder)] = depth
        path = "result" + "".join(keys)
        if len(path) > SHOWN_LENGTH_MAX:
            path = path[:SHOWN_LENGTH_MAX] + "\u2026"
        return TypeError('Cannot send "%s" as a value: %s' % (path, found))


def encode_value(value):
    """Returns the bytes of a value, or raises a TypeError that names what cannot travel."""
    out = bytearray()
    try:
        WRITERS.get(type(value), write_other)(out, value, 0)
    except Refused as refused:
        raise refused.error() from None
    return out


def check_size(size):
    if size > RESULT_BYTES_MAX:
        found = "more than %d bytes" % RESULT_BYTES_MAX
        raise ValueError('Cannot send "result" as a value: %s' % found)


def write_head(out, major, number):
    """Writes a head: a major type, in place in its byte, and its number."""
    if number < 24:
        out.append(major | number)
    elif number < 0x100:
        out += PACK_1(major | 24, number)
    elif number < 0x10000:
        out += PACK_2(major | 25, number)
    elif number < 0x100000000:
        out += PACK_4(major | 26, number)
    else:
        out += PACK_8(major | 27, number)


def write_none(out, value, depth):
    out.append(0xF6)


def write_bool(out, value, depth):
    out.append(0xF5 if value else 0xF4)


def write_int(out, value, depth):
    if 0 <= value <= SAFE_INTEGER_MAX:
        write_head(out, 0x00, value)
    elif -SAFE_INTEGER_MAX <= value < 0:
        write_head(out, 0x20, -1 - value)
    else:
        tag = BIGINT_TAG if value > 0 else NEGATIVE_BIGINT_TAG
        magnitude = value if value > 0 else -1 - value
        size = (magnitude.bit_length() + 7) // 8
        if size > BIGINT_BYTES_MAX:
            return write_refused(out, value, "an integer of %d bytes" % size)
        write_head(out, 0xC0, tag)
        write_bytes(out, magnitude.to_bytes(size, "big"), depth)


def write_float(out, value, depth):
    # As JavaScript's writer: the values that are no ordinary number are short. A whole float
    # stays a float, so that it is one when Python reads it.
    if value and value - value == 0.0:
        out += PACK_FLOAT(0xFB, value)
    elif value == 0.0:
        out += b"\xf9\x80\x00" if str(value) == "-0.0" else PACK_FLOAT(0xFB, 0.0)
    else:
        out += b"\xf9\x7e\x00" if value != value else b"\xf9\x7c\0" if value > 0 else b"\xf9\xfc\0"


def write_text(out, value, depth):
    try:
        contents = value.encode("utf-8")
    except UnicodeEncodeError:
        return write_refused(out, value, "text with half of a surrogate pair")
    size = len(contents)
    if size < 24:
        out.append(0x60 | size)
    else:
        write_head(out, 0x60, size)
        check_size(len(out) + size)
    out += contents


def write_bytes(out, value, depth):
    size = len(value)
    check_size(len(out) + size)
    write_head(out, 0x40, size)
    out += value


def write_list(out, items, depth):
    if depth >= DEPTH_MAX:
        raise Refused("something more than %d objects deep" % DEPTH_MAX)
    write_head(out, 0x80, len(items))
    item = None
    try:
        for item in items:
            WRITERS.get(type(item), write_other)(out, item, depth + 1)
    except Refused as refused:
        # The first that is the same object: an earlier one would have been refused itself.
        index = next(index for index, each in enumerate(items) if each is item)
        refused.pass_through(items, "[%d]" % index)
        raise
    check_size(len(out))


def write_dict(out, items, depth):
    if depth >= DEPTH_MAX:
        raise Refused("something more than %d objects deep" % DEPTH_MAX)
    start = len(out)
    write_head(out, 0xA0, len(items))
    key = None
    try:
        for key, value in items.items():
            if not isinstance(key, str):
                break
            write_text(out, key, depth + 1)
            WRITERS.get(type(value), write_other)(out, value, depth + 1)
        else:
            return check_size(len(out))
    except Refused as refused:
        shown = "." + key if key.isidentifier() else "[%s]" % json.dumps(key)
        refused.pass_through(items, shown)
        raise
    del out[start:]
    write_map(out, items, depth)


def write_map(out, items, depth):
    write_head(out, 0xC0, MAP_TAG)
    write_head(out, 0xA0, len(items))
    place = ""
    try:
        for index, (key, value) in enumerate(items.items()):
            place = "<key %d>" % index
            WRITERS.get(type(key), write_other)(out, key, depth + 1)
            place = "<value %d>" % index
            WRITERS.get(type(value), write_other)(out, value, depth + 1)
    except Refused as refused:
        refused.pass_through(items, place)
        raise
    check_size(len(out))


def write_set(out, items, depth):
    write_head(out, 0xC0, SET_TAG)
    try:
        write_list(out, tuple(items), depth)
    except Refused as refused:
        if refused.keys:
            refused.keys[-1] = "<item %s>" % refused.keys[-1][1:-1]
        raise


def write_array(out, value, depth):
    kind = "f" if value.typecode in "fd" else "u" if value.typecode.isupper() else "i"
    tag = TYPED_ARRAY_TAGS.get(kind + str(value.itemsize))
    if tag is None or value.typecode in "uw":
        return write_refused(out, value, "an array of characters")
    write_head(out, 0xC0, tag)
    write_bytes(out, value.tobytes(), depth)


def write_pickled(out, value, depth):
    write_pickle(out, value.value, "a value")


def write_pickle(out, value, found):
    import pickle

    try:
        contents = pickle.dumps(value, protocol=PICKLE_PROTOCOL)
    except Exception as error:
        raise Refused("%s that pickle refuses: %s" % (found, text_of(error))) from None
    write_head(out, 0xC0, PICKLE_TAG)
    write_bytes(out, contents, 0)


def write_refused(out, value, found):
    """Writes what is no value as a pickle, if the library wants that."""
    if not Options.is_pickling:
        raise Refused(found)
    write_pickle(out, value, found)


def write_other(out, value, depth):
    """Writes what is not exactly of a type that `WRITERS` knows."""
    for kind, writer in SUBCLASS_WRITERS:
        if isinstance(value, kind):
            return writer(out, value, depth)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if type(value) in (numpy.ndarray, numpy.memmap):
            return write_ndarray(out, value, depth)
        if isinstance(value, numpy.generic) and value.dtype.kind in "biuf":
            number = value.item()
            if type(number) in WRITERS:
                return WRITERS[type(number)](out, number, depth)
    datetime = sys.modules.get("datetime")
    if datetime is not None and isinstance(value, datetime.datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            return write_refused(out, value, "a datetime without a time zone")
        since = value - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        write_head(out, 0xC0, DATE_TAG)
        if since.microseconds == 0:
            return write_int(out, since.days * 86400 + since.seconds, depth)
        return write_float(out, since.total_seconds(), depth)
    write_refused(out, value, described(value))


def write_ndarray(out, value, depth):
    if value.ndim == 0:
        item = value.item()
        return WRITERS.get(type(item), write_other)(out, item, depth)
    tag = TYPED_ARRAY_TAGS.get(value.dtype.str[1:])
    if tag is None and value.dtype.kind != "b":
        return write_refused(out, value, "an array of %s" % value.dtype)
    check_size(len(out) + value.nbytes)
    if value.ndim > 1:
        write_head(out, 0xC0, DIMENSIONS_TAG)
        write_head(out, 0x80, 2)
        write_list(out, value.shape, depth)
    if tag is None:
        return write_list(out, value.ravel().tolist(), depth)
    write_head(out, 0xC0, tag)
    write_bytes(out, value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes(), depth)


def described(value):
    """Returns what a value is, for whoever cannot have it."""
    kind = type(value)
    if isinstance(value, type):
        return "a class"
    if kind in (types.FunctionType, types.BuiltinFunctionType, types.MethodType):
        return "a function"
    if kind in (types.GeneratorType, types.AsyncGeneratorType):
        return "a generator, which can be sent as a list of what it yields"
    return "an instance of %s" % name_of_type(kind)


WRITERS = {
    int: write_int,
    str: write_text,
    float: write_float,
    list: write_list,
    dict: write_dict,
    tuple: write_list,
    bool: write_bool,
    type(None): write_none,
    bytes: write_bytes,
    bytearray: write_bytes,
    set: write_set,
    frozenset: write_set,
    array.array: write_array,
    Pickled: write_pickled,
}

# For named tuples, ordered dictionaries, enumerations of integers and so on.
SUBCLASS_WRITERS = tuple(
    (kind, WRITERS[kind])
    for kind in (int, str, float, list, dict, tuple, bytes, bytearray, set, frozenset)
)


class References:
    """The files among the arguments of a call, by index."""

    __slots__ = ("paths", "inner")

    def __init__(self, paths, level=0):
        self.paths = paths
        # Arguments may be in a file, and an argument there in another: two levels and no deeper,
        # so that a file which refers to itself ends.
        self.inner = References(paths, level + 1) if level < 1 else None

    def path_at(self, index):
        if index < len(self.paths):
            return self.paths[index]
        found = "%d came" % len(self.paths)
        raise ValueError('Cannot find file "%d" as an argument: %s' % (index, found))

    def value_at(self, index):
        with open(self.path_at(index), "rb") as file:
            return decode_value(file.read(), self.inner)


class Unreadable(Exception):
    """Bytes that are no value."""


def decode_value(data, references):
    """Returns the value that bytes hold, which may come from anywhere, or raises a TypeError."""
    try:
        value, at = read_value(data, 0, 0, references)
        if at == len(data):
            return value
        found = "%d bytes after it" % (len(data) - at)
    except Unreadable as error:
        found = str(error)
    except (IndexError, struct.error):
        found = "the end of the bytes"
    except UnicodeDecodeError:
        found = "text that is not UTF-8"
    raise TypeError("Cannot read bytes as a value: %s" % found)


def read_value(data, at, depth, references):
    """Returns the value at an offset and the offset behind it."""
    first = data[at]
    if first < 24:
        return first, at + 1
    return READERS[first >> 5](data, at + 1, first & 31, depth, references)


def read_number(data, at, low):
    """Returns the number of a head, given its low bits, and the offset behind it."""
    if low < 24:
        return low, at
    if low == 24:
        return data[at], at + 1
    if low == 25:
        return UNPACK_2(data, at)[0], at + 2
    if low == 26:
        return UNPACK_4(data, at)[0], at + 4
    if low == 27:
        return UNPACK_8(data, at)[0], at + 8
    raise Unreadable("an indefinite length" if low == 31 else "a head of kind %d" % low)


def read_head_of(data, at, major, tag):
    """Returns the number of what a tag stands before, and the offset behind its head."""
    first = data[at]
    if first >> 5 != major:
        raise Unreadable("tag %d before the wrong kind of value" % tag)
    return read_number(data, at + 1, first & 31)


def read_count(data, at, low, depth, least):
    """As `read_number`, for elements that take at least so many bytes: more would be a lie."""
    count, at = read_number(data, at, low)
    left = len(data) - at
    if count * least > left:
        raise Unreadable("%d bytes where %d elements were announced" % (left, count))
    if depth >= DEPTH_MAX and count > 0:
        raise Unreadable("more than %d values inside each other" % DEPTH_MAX)
    return count, at


def read_contents(data, at, size):
    contents = data[at : at + size]
    if len(contents) != size:
        raise Unreadable("%d bytes where %d were announced" % (len(contents), size))
    return contents, at + size


def read_unsigned(data, at, low, depth, references):
    return read_number(data, at, low)


def read_negative(data, at, low, depth, references):
    number, at = read_number(data, at, low)
    return -1 - number, at


def read_bytes(data, at, low, depth, references):
    size, at = read_number(data, at, low)
    return read_contents(data, at, size)


def read_text(data, at, low, depth, references):
    size, at = read_number(data, at, low)
    contents, at = read_contents(data, at, size)
    return str(contents, "utf-8"), at


def read_array(data, at, low, depth, references):
    count, at = read_count(data, at, low, depth, 1)
    depth += 1
    items = []
    for _ in range(count):
        item, at = read_value(data, at, depth, references)
        items.append(item)
    return items, at


def read_map(data, at, low, depth, references):
    count, at = read_count(data, at, low, depth, 2)
    depth += 1
    items = {}
    for _ in range(count):
        key, at = read_value(data, at, depth, references)
        value, at = read_value(data, at, depth, references)
        if type(key) is not str:
            key = as_key(key)
        items[key] = value
    return items, at


def as_key(value):
    """Returns what stands for a value in a set or as a key: a tuple for a list, and so on."""
    if isinstance(value, list):
        return tuple(as_key(item) for item in value)
    if isinstance(value, set):
        return frozenset(value)
    try:
        hash(value)
    except TypeError:
        found = "%s as a key or in a set" % described(value)
        raise Unreadable(found) from None
    return value


def read_tagged(data, at, low, depth, references):
    tag, at = read_number(data, at, low)
    if depth > DEPTH_MAX:
        raise Unreadable("more than %d values inside each other" % DEPTH_MAX)
    if tag in TYPED_ARRAYS:
        return read_typed_array(data, at, tag)
    if tag in TAG_READERS:
        return TAG_READERS[tag](data, at, tag, depth, references)
    raise Unreadable("the unknown tag %d" % tag)


def read_typed_array(data, at, tag):
    size, at = read_head_of(data, at, 2, tag)
    contents, at = read_contents(data, at, size)
    kind = TYPED_ARRAYS[tag]
    if size % int(kind[1]) != 0:
        raise Unreadable("a typed array of %d bytes" % size)
    numpy = numpy_if_there()
    if numpy is not None:
        # A copy, because an array over bytes cannot be written to.
        return numpy.frombuffer(contents, "<" + kind).copy(), at
    if kind == "f2":
        return array.array("f", struct.unpack("<%de" % (size // 2), contents)), at
    return array.array(ARRAY_CODES[kind], contents), at


def numpy_if_there():
    """Returns numpy, imported when it is first needed, or None."""
    numpy = sys.modules.get("numpy")
    if numpy is None and not Options.lacks_numpy:
        try:
            import numpy
        except ImportError:
            Options.lacks_numpy = True
    return numpy


def read_dimensions(data, at, tag, depth, references):
    count, at = read_head_of(data, at, 4, tag)
    shape, at = read_value(data, at, depth + 1, None)
    values, at = read_value(data, at, depth + 1, None)
    numpy = numpy_if_there()
    if numpy is None:
        raise Unreadable("an array of several dimensions, for which numpy is not there")
    if type(values) is bytes:
        values = numpy.frombuffer(values, "u1").copy()
    elif type(values) is list and all(type(value) is bool for value in values):
        values = numpy.array(values, "?")
    if count != 2 or type(shape) is not list or type(values) is not numpy.ndarray:
        raise Unreadable("tag %d before something else than dimensions and an array" % tag)
    size = 1
    for length in shape:
        size *= length if type(length) is int and length >= 0 else -1
    if size != values.size:
        raise Unreadable("%d elements for the dimensions %s" % (values.size, shape))
    return values.reshape(shape), at


def read_tagged_map(data, at, tag, depth, references):
    if data[at] >> 5 != 5:
        raise Unreadable("tag %d before the wrong kind of value" % tag)
    return read_map(data, at + 1, data[at] & 31, depth, references)


def read_set(data, at, tag, depth, references):
    if data[at] >> 5 != 4:
        raise Unreadable("tag %d before the wrong kind of value" % tag)
    items, at = read_array(data, at + 1, data[at] & 31, depth, references)
    return {as_key(item) for item in items}, at


def read_bigint(data, at, tag, depth, references):
    size, at = read_head_of(data, at, 2, tag)
    if size > BIGINT_BYTES_MAX:
        raise Unreadable("an integer of %d bytes" % size)
    contents, at = read_contents(data, at, size)
    magnitude = int.from_bytes(contents, "big")
    return (magnitude if tag == BIGINT_TAG else -1 - magnitude), at


def read_date(data, at, tag, depth, references):
    from datetime import datetime, timedelta, timezone

    # Not another tag, however many of them.
    seconds, at = (None, at) if data[at] >> 5 == 6 else read_value(data, at, depth, None)
    if type(seconds) not in (int, float) or seconds != seconds:
        raise Unreadable("a date that is no number")
    try:
        since = timedelta(microseconds=round(seconds * 1000000))
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + since, at
    except OverflowError:
        raise Unreadable("a date that is out of the range of Python") from None


def read_date_text(data, at, tag, depth, references):
    from datetime import datetime

    size, at = read_head_of(data, at, 3, tag)
    contents, at = read_contents(data, at, size)
    try:
        date = datetime.fromisoformat(str(contents, "utf-8").replace("Z", "+00:00"))
    except ValueError:
        date = None
    if date is None or date.tzinfo is None:
        raise Unreadable("a date that is none")
    return date, at


def read_file(data, at, tag, depth, references):
    index, at = read_head_of(data, at, 0, tag)
    if references is None:
        raise Unreadable("a reference to a file")
    return (references.path_at if tag == FILE_TAG else references.value_at)(index), at


def read_pickle(data, at, tag, depth, references):
    import pickle

    size, at = read_head_of(data, at, 2, tag)
    contents, at = read_contents(data, at, size)
    try:
        return pickle.loads(contents), at
    except Exception as error:
        # Such as a class that this library does not have; no error of this reader's own kind.
        raise TypeError("Cannot read a pickled value: %s" % text_of(error)) from error


def read_simple(data, at, low, depth, references):
    if low in SIMPLE_VALUES:
        return SIMPLE_VALUES[low], at
    if low == 27:
        return UNPACK_DOUBLE(data, at)[0], at + 8
    if low == 26:
        return UNPACK_FLOAT(data, at)[0], at + 4
    if low == 25:
        return UNPACK_HALF(data, at)[0], at + 2
    if low == 0:
        raise Unreadable("a handle whose value is not there")
    raise Unreadable("the unknown simple value %d" % low)


# false, true, null and undefined
SIMPLE_VALUES = {20: False, 21: True, 22: None, 23: None}

READERS = (
    read_unsigned,
    read_negative,
    read_bytes,
    read_text,
    read_array,
    read_map,
    read_tagged,
    read_simple,
)

TAG_READERS = {
    DATE_TEXT_TAG: read_date_text,
    DATE_TAG: read_date,
    BIGINT_TAG: read_bigint,
    NEGATIVE_BIGINT_TAG: read_bigint,
    DIMENSIONS_TAG: read_dimensions,
    SET_TAG: read_set,
    MAP_TAG: read_tagged_map,
    FILE_TAG: read_file,
    VALUE_FILE_TAG: read_file,
    PICKLE_TAG: read_pickle,
}


# What a function raised: see shared/thrown.ts.


def thrown_of(error):
    """Returns the name, the message and the stack of an exception, which may be anything."""
    kind = type(error)
    try:
        stack = "".join(traceback.format_exception(kind, error, user_frames(error.__traceback__)))
    except Exception:
        # Its own methods raised; its name and its text may still be had.
        stack = ""
    return name_of_type(kind), cut_end(text_of(error)), cut_middle(stack.rstrip())


def user_frames(frames):
    """Returns a traceback without the outermost frames that are this file's or asyncio's."""
    asyncio = sys.modules.get("asyncio")
    above = (HOST_FILE,) + ((os.path.dirname(asyncio.__file__),) if asyncio else ())
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(above):
        frames = frames.tb_next
    return frames


def name_of_type(kind):
    """Returns the name of a class, with its module unless that goes without saying."""
    module = str(kind.__module__)
    if module == "builtins" or is_own_module(module):
        return kind.__qualname__
    return "%s.%s" % (module, kind.__qualname__)


def is_own_module(name):
    """True for the library, and for the modules of its package."""
    return name == Options.library_name or name.startswith(Options.library_name + ".")


def text_of(error):
    try:
        return str(error)
    except Exception:
        return "a text that cannot be made"


def cut_end(text):
    return text if len(text) <= PART_LENGTH_MAX else text[:PART_LENGTH_MAX] + "\u2026"


def cut_middle(text):
    """Keeps the beginning and, more of it, the end of a stack: Python's ends with the error."""
    if len(text) <= PART_LENGTH_MAX:
        return text
    half = PART_LENGTH_MAX // 4
    return "%s\n  \u2026\n%s" % (text[:half], text[half + 8 - PART_LENGTH_MAX :])


# The library itself.


class Library:
    """An imported module and what the host knows of it."""

    def __init__(self):
        self.module = None
        # The event loop of asynchronous functions, once there was one.
        self.loop = None

    def load(self, path):
        """Imports the library as a module like any other, from its directory."""
        before = os.path.dirname(os.path.realpath(HOST_FILE))
        if sys.path and os.path.realpath(sys.path[0]) == before:
            del sys.path[0]
        sys.path.insert(0, os.path.dirname(path))
        name = Options.library_name
        __import__(name)
        self.module = sys.modules[name]
        found = getattr(self.module, "__file__", None)
        if found is None:
            # A package without a file of its own has directories, or it is built in.
            found = next(iter(getattr(self.module, "__path__", ["built in"])))
        if not os.path.realpath(found).startswith(os.path.realpath(path)):
            text = 'Cannot import library "%s": Python has another module of that name, %s'
            raise ImportError(text % (name, found))

    def function(self, name):
        """Returns a function, or a class, by its name; `a.b` is `b` of the module or class `a`."""
        found = self.module
        for part in name.split("."):
            found = None if part.startswith("_") else getattr(found, part, None)
        if callable(found):
            return found
        text = 'Cannot call "%s" as a function of the library: it has %s'
        raise TypeError(text % (name, self.function_names() or "none"))

    def function_names(self):
        """Returns the functions that the library itself defines, in one text."""
        names = []
        for name, value in sorted(vars(self.module).items()):
            is_own = is_own_module(str(getattr(value, "__module__", "")))
            if callable(value) and is_own and not name.startswith("_"):
                names.append(name)
        text = ", ".join(names)
        return text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "\u2026"

    def call(self, function, arguments):
        """Calls a function, to its end if it is asynchronous."""
        value = function(*arguments)
        if type(value) not in WRITERS and hasattr(type(value), "__await__"):
            return self.wait_for(value)
        return value

    def wait_for(self, awaitable):
        import asyncio

        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(awaitable)

    def forget_loop(self):
        """After a fork: the loop of the parent has an epoll descriptor that both would use."""
        self.loop = None

    def has_async_functions(self):
        """True when a function of the module itself is `async def`."""
        for value in list(vars(self.module).values()):
            # inspect.iscoroutinefunction, without importing that.
            if getattr(getattr(value, "__code__", None), "co_flags", 0) & 0x80:
                return True
        return False

    def run_context(self, name, path):
        """Runs the context function and keeps what it returns as `tendril.context`."""
        arguments = ()
        if path:
            with open(path, "rb") as file:
                [call] = MessageReader(None).take(file.read())
            arguments = call.read_arguments()
        sys.modules["tendril"].context = self.call(self.function(name), arguments)


def provide_tendril():
    """Makes the module that the library gets for `import tendril`."""
    module = types.ModuleType("tendril", "What the functions of a Tendril library can use.")

    def pickled(value):
        """Marks a value that travels as pickle: what gets it must be Python."""
        return Pickled(value)

    def missing(name):
        if name == "context":
            raise AttributeError("Cannot read the library context: no context function has run")
        raise AttributeError("module 'tendril' has no attribute '%s'" % name)

    module.pickled = pickled
    module.__getattr__ = missing
    sys.modules["tendril"] = module


# The call protocol: see call_protocol.ts.


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
        if self.data == b"\x80":
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
    sizes = (id, status, len(content), len(stdout), len(stderr), microseconds)
    return b"".join((b"result %b %b %d %d %d %d\n" % sizes, content, stdout, stderr))


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
    size = os.lseek(fd, 0, os.SEEK_END)
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


# Running a call.


def perform(library, call, home):
    """Runs a call and returns the status and the content of its result."""
    try:
        if call.directory:
            os.chdir(call.directory)
        arguments = call.read_arguments()
        if call.name.startswith("*"):
            content = perform_batch(library, library.function(call.name[1:]), *arguments)
        else:
            content = encode_value(library.call(library.function(call.name), arguments))
        if len(content) <= VALUE_BYTES_MAX:
            return b"ok", content
        return b"file", keep_value(content, os.path.join(home, "value-%s" % call.id.decode()))
    except BaseException as error:
        # Also SystemExit and KeyboardInterrupt: a function cannot end the host.
        name, message, stack = thrown_of(error)
        thrown = {"name": name, "message": message, "stack": stack}
        return b"error", json.dumps(thrown).encode("ascii")


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


def remove_if_there(path):
    try:
        os.unlink(path)
    except OSError:
        # Not there, or nobody can remove it: its directory goes with the instance.
        pass


# One call after the other.


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
        started = time.perf_counter()
        status, content = perform(self.library, call, self.home)
        flush_streams()
        seconds = time.perf_counter() - started
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


# A forked child a call.


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


PR_SET_PDEATHSIG = 1

# A number, because one of the signals by name costs each child some pages of memory.
SIGKILL = int(signal.SIGKILL)

# How often children are looked at whose pipe is held by what was started in another way.
CHECK_MS = 1000

# Room for most results; the read of more is repeated.
CHILD_READ_BYTES = 8 * 1024


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

    def serve(self):
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
        pipe, child_pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        output = self.outputs[-1]
        PROTOCOL_FDS.add(pipe)
        try:
            pid = os.fork()
        except OSError:
            PROTOCOL_FDS.discard(pipe)
            os.close(pipe)
            os.close(child_pipe)
            raise
        if pid == 0:
            self.run_child(call, child_pipe, output)
        os.close(child_pipe)
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
            os.setpgid(0, 0)
            if self.prctl is not None:
                self.prctl(PR_SET_PDEATHSIG, SIGKILL)
            if os.getppid() != self.pid:
                # The parent died before.
                os._exit(0)
            output.redirect()
            self.library.forget_loop()
            if "numpy.random" in sys.modules:
                # As the module random does by itself: or all children have the same numbers.
                sys.modules["numpy.random"].seed()
            started = time.perf_counter()
            status, content = perform(self.library, call, self.home)
            flush_streams()
            microseconds = int((time.perf_counter() - started) * 1e6)
            message = b"%b %d %d\n%b" % (status, len(content), microseconds, content)
            if len(message) > select.PIPE_BUF:
                os.set_blocking(pipe, True)
            write_all(pipe, message)
        finally:
            # Waits for no thread, and flushes nothing that the parent has in a buffer as well.
            os._exit(0)

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
        except (IndexError, ValueError):
            status, size, microseconds = b"", 0, 0
        if status not in (b"ok", b"error", b"file") or not 0 <= size <= VALUE_BYTES_MAX:
            # The function itself wrote to this pipe.
            return kill_group(child.pid)
        child.wanted = len(line) + len(newline) + size
        if child.size >= child.wanted:
            # It is through, and what it started ends with it.
            kill_group(child.pid)
            self.answer(child, status, content, microseconds)

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
        _, status = os.waitpid(child.pid, 0)
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
        os.close(child.pipe)
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


def death_of(status):
    """Returns how a process ended, in words."""
    if not os.WIFSIGNALED(status):
        return "exit code %d" % os.WEXITSTATUS(status)
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
    os.kill(pid, signal.SIGSTOP)
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


# The start.


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
    # Functions that start processes with multiprocessing would have those run this file.
    globals()["__name__"] = "tendril_library_host"
    sys.modules["tendril_library_host"] = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    for stream in (sys.stdout, sys.stderr):
        # What a process printed before it died is in the file.
        stream.reconfigure(line_buffering=True)


def prepare_forks(library):
    """Imports what a call may need of the host, once instead of in each child."""
    import datetime  # noqa: F401
    import pickle  # noqa: F401

    if library.has_async_functions():
        import asyncio  # noqa: F401


def main():
    options = read_options(sys.argv[1:])
    prepare_process(options["--module"])
    libc = load_libc()
    provide_tendril()
    Options.is_pickling = "--pickle" in options
    Options.library_name = options["--name"]
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


def end_process():
    """Ends this process as Python does, but waits for no thread that a function left."""
    import atexit

    atexit._run_exitfuncs()
    flush_streams()
    os._exit(0)


if __name__ == "__main__":
    main()
