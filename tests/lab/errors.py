"""The lab's one exception, raised by every module of it and shown without a traceback by the command line."""


class LabError(Exception):
    """The lab cannot do what it was asked; the message says why and where to look."""
