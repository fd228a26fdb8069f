"""What the process was asked for, for all that runs in it."""


class Options:
    """What the process was asked for and found; one, so that no call carries it."""

    library_name = ""
    # With a separator at its end: what files of the library begin with, which users never chose.
    library_directory = ""
    is_pickling = False
    # Set when an import of numpy failed: it is not looked for again.
    lacks_numpy = False
