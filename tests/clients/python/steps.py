"""What the programs of this folder share: comparing, and asking the test that runs them.

The test owns the servers. A program that needs one restarted or killed prints a request on its
standard output and waits for the answer on its standard input.
"""

import faulthandler
import sys

# A program that hangs tells where, and ends.
faulthandler.dump_traceback_later(90, exit=True)


def ask(request):
    """Has the test do something to its servers, and waits until that is done."""
    print("request:", request, flush=True)
    answer = sys.stdin.readline()
    assert answer == "done\n", f"{answer!r} to {request}"


def expect(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def expect_error(kind, text, work):
    try:
        found = work()
    except kind as error:
        assert text in str(error), f"{error} does not say {text!r}"
    else:
        raise AssertionError(f"{found!r} instead of an error")


def text(value):
    """A reply as text, whatever the client was told about decoding."""
    return value.decode() if isinstance(value, bytes) else value
