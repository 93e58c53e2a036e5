"""What a study may do to cost less: flags that change no figure."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def costs(no_cache: bool, no_folding: bool, no_fast_forward: bool) -> Iterator[None]:
    """Within it runs come from the cache, fold and skip unless they must not."""
    from emu.caching import caching
    from emu.machine import shortcuts

    with caching(not no_cache), shortcuts(not no_folding, not no_fast_forward):
        yield
