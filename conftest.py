"""What all tests need of the process they run in."""

import signal
import threading

# A shell that starts a job in the background makes it ignore interrupts, and its children inherit that; the tests of Ctrl-C need them.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
