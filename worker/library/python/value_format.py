"""Values as bytes, as far as what writes and what reads them share: see shared/value.ts.

An array or typed array of numpy and of the array module travel alike. An array of numpy without
dimensions is a number, and one of several has the tag 40 of RFC 8746. That has no arrays of
booleans: they are lists.
"""

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
