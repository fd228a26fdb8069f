"""Reads what functions are given from bytes, which may come from anywhere."""

import array
import struct
import sys

from .description import described, text_of
from .late_import import import_late
from .options import Options
from .value_format import (
    BIGINT_BYTES_MAX,
    BIGINT_TAG,
    DATE_TAG,
    DATE_TEXT_TAG,
    DEPTH_MAX,
    DIMENSIONS_TAG,
    FILE_TAG,
    MAP_TAG,
    NEGATIVE_BIGINT_TAG,
    PICKLE_TAG,
    SET_TAG,
    TYPED_ARRAYS,
    VALUE_FILE_TAG,
)

# {kind and size of an element: code of the array module}, which has no half floats.
ARRAY_CODES = {
    kind + str(array.array(code).itemsize): code
    for kind, codes in (("u", "LQIHB"), ("i", "lqihb"), ("f", "df"))
    for code in codes
}

UNPACK_2 = struct.Struct(">H").unpack_from
UNPACK_4 = struct.Struct(">I").unpack_from
UNPACK_8 = struct.Struct(">Q").unpack_from
UNPACK_HALF = struct.Struct(">e").unpack_from
UNPACK_FLOAT = struct.Struct(">f").unpack_from
UNPACK_DOUBLE = struct.Struct(">d").unpack_from


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
            numpy = import_late("numpy")
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
    datetime = import_late("datetime")
    # Not another tag, however many of them.
    seconds, at = (None, at) if data[at] >> 5 == 6 else read_value(data, at, depth, None)
    if type(seconds) not in (int, float) or seconds != seconds:
        raise Unreadable("a date that is no number")
    try:
        since = datetime.timedelta(microseconds=round(seconds * 1000000))
        return datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + since, at
    except OverflowError:
        raise Unreadable("a date that is out of the range of Python") from None


def read_date_text(data, at, tag, depth, references):
    datetime = import_late("datetime").datetime
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
    size, at = read_head_of(data, at, 2, tag)
    contents, at = read_contents(data, at, size)
    try:
        return import_late("pickle").loads(contents), at
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
