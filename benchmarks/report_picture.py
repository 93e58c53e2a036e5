"""docs/img/report.png: a report as headless Chromium draws it.

    python benchmarks/report_picture.py
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import emu

PICTURE = Path(__file__).parents[1] / "docs" / "img" / "report.png"
SIZE, SCALE = "1100,4050", 0.6


def main() -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("chromium is missing: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        emu.estimate("llama-3-8b", "jalapeno", batch=4, generate=64).report(page, question="How fast is llama-3-8b on jalapeno?")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
        flags += [f"--force-device-scale-factor={SCALE}", f"--screenshot={PICTURE}"]
        subprocess.run([browser, *flags, page.as_uri()], check=True, capture_output=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
