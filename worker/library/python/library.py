"""The library itself, and the module `tendril` that it can import."""

import os
import sys
import types

from .call_protocol import MessageReader
from .description import is_own_module, shortened
from .options import Options
from .value_writer import WRITERS, Pickled


class Library:
    """An imported module and what the host knows of it."""

    def __init__(self):
        self.module = None
        # {name: what it is} of the module, at any time.
        self.names = {}
        # The event loop of asynchronous functions, once there was one.
        self.loop = None

    def load(self, path):
        """Imports the library as a module like any other, from its directory."""
        sys.path.insert(0, os.path.dirname(path))
        name = Options.library_name
        __import__(name)
        self.module = sys.modules[name]
        self.names = vars(self.module)
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
        return shortened(", ".join(names))

    def call(self, function, arguments):
        """Calls a function, to its end if it is asynchronous."""
        value = function(*arguments)
        return value if type(value) in WRITERS else self.awaited(value)

    def awaited(self, value):
        """Returns what an awaitable comes to, and other values as they are."""
        if not hasattr(type(value), "__await__"):
            return value
        import asyncio

        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(value)

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
            raise AttributeError(
                "Cannot read the library context: no context function has run; "
                'the library states one as context: "NAME"'
            )
        raise AttributeError("module 'tendril' has no attribute '%s'" % name)

    module.pickled = pickled
    module.__getattr__ = missing
    sys.modules["tendril"] = module
