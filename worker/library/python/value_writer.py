"""Writes what functions return as bytes."""

import array
import struct
import sys

from .description import described, quoted, shortened, text_of
from .late_import import import_late
from .options import Options
from .value_format import (
    BIGINT_BYTES_MAX,
    BIGINT_TAG,
    DATE_TAG,
    DEPTH_MAX,
    DIMENSIONS_TAG,
    MAP_TAG,
    NEGATIVE_BIGINT_TAG,
    PICKLE_TAG,
    SAFE_INTEGER_MAX,
    SET_TAG,
    TYPED_ARRAY_TAGS,
)

# Most bytes of a result: RESULT_BYTES_MAX of shared/value.ts.
RESULT_BYTES_MAX = 1024 * 1024 * 1024

NONE = b"\xf6"

# Protocol 5 is the latest that Python 3.8 reads.
PICKLE_PROTOCOL = 5

PACK_1 = struct.Struct(">BB").pack
PACK_2 = struct.Struct(">BH").pack
PACK_4 = struct.Struct(">BI").pack
PACK_8 = struct.Struct(">BQ").pack
PACK_FLOAT = struct.Struct(">Bd").pack


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
        return TypeError('Cannot send "%s" as a value: %s' % (shortened(path), found))


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
    out += NONE


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
        shown = "." + key if key.isidentifier() else "[%s]" % quoted(key)
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
    try:
        contents = import_late("pickle").dumps(value, protocol=PICKLE_PROTOCOL)
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
    hint = "" if Options.is_pickling else ", which only pickle: true of the library would send"
    write_refused(out, value, described(value) + hint)


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
