"""What values, classes and exceptions are called in texts for users."""

import types

try:
    # The C part of json, without what json itself imports.
    from _json import encode_basestring_ascii as quoted
except ImportError:
    from json.encoder import encode_basestring_ascii as quoted

from .options import Options

# Longest path and longest list of names in a message.
SHOWN_LENGTH_MAX = 300


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


def shortened(text):
    return text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "\u2026"
