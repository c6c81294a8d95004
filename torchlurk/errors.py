"""The one kind of failure that a user is meant to see: a line, and an exit code."""


class LurkError(Exception):
    """A failure that the user can mend.

    The message is one line that names the value, the rule it broke, and the way out.
    """

    exit_code = 1


class Terminated(KeyboardInterrupt):  # it is no error
    """The process was asked to end, by SIGTERM: as Ctrl-C, with another exit code."""
