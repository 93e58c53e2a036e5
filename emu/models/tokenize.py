"""Text -> token ids, by a folder's tokenizer.json."""
from __future__ import annotations

import os
from pathlib import Path

from emu.errors import ModelError
from emu.models.config import ModelConfig
from emu.models.files import read_bounded

MAX_TOKENIZER_BYTES = 64 << 20
MAX_TEXT_BYTES = 1 << 20


class Tokenizer:
    """Neither pads nor truncates, whatever the file says: a text that is too long is refused, not shortened in silence."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        place = Path(path)
        self.file = place / "tokenizer.json" if place.is_dir() else place
        data = read_bounded(self.file, MAX_TOKENIZER_BYTES)
        from tokenizers import Tokenizer as Backend

        try:
            self._backend = Backend.from_buffer(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a Rust panic is not an Exception
            raise ModelError(f"{self.file}: not a tokenizer: {str(error)[:200]}") from None
        self._backend.no_padding()
        self._backend.no_truncation()

    def encode(self, text: str, config: ModelConfig) -> list[int]:
        """Ids with the special tokens of the model, checked against its vocabulary and length."""
        if len(text.encode("utf-8", errors="surrogatepass")) > MAX_TEXT_BYTES:
            raise ModelError(f"the text is longer than {MAX_TEXT_BYTES} bytes")
        try:
            ids: list[int] = self._backend.encode(text).ids
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise ModelError(f"{self.file}: cannot encode the text: {str(error)[:200]}") from None
        if not ids:
            raise ModelError(f"{self.file}: the text {text[:40]!r} has no tokens")
        if len(ids) > config.max_positions:
            raise ModelError(f"the text has {len(ids)} tokens, {config.name} takes {config.max_positions}")
        if max(ids) >= config.vocab:
            raise ModelError(f"{self.file}: token id {max(ids)} is beyond the {config.vocab} of {config.name}: not its tokenizer")
        return ids

    def decode(self, ids: list[int]) -> str:
        return str(self._backend.decode(ids))
