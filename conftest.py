"""What all tests need of the process they run in."""

import os
import signal
import threading

# No test may be answered by an earlier one: those of the cache itself switch it on, in folders of their own.
os.environ["EMU_CACHE"] = "0"

# A shell that starts a job in the background makes it ignore interrupts, and its children inherit that; the tests of Ctrl-C need them.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
