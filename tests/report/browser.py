"""Headless Chromium, if there is one: what a page's own script finds after it was used, and what the console said."""

import os
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def need_browser():
    """Skip without a browser; in CI that would hide a broken page, so it fails."""
    if CHROMIUM is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail("chromium is missing: apt-get install chromium")
        pytest.skip("chromium is missing: apt-get install chromium")


def opened(address, *flags):
    """(document after its scripts, lines of the console)."""
    need_browser()
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1100,900",
        "--virtual-time-budget=5000", "--enable-logging=stderr", "--v=0", *flags, address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.split("\n") if "CONSOLE" in line]


def used(page, script, tmp_path):
    """What `script` returns when it runs at the end of a copy of the page; whatever it throws is an error of the test."""
    copy = tmp_path / "used.html"
    text = page.read_text()
    assert text.count("</body>") == 1
    probe = f"<script>document.title = 'probe:' + JSON.stringify((() => {{ {script} }})());</script>"
    copy.write_text(text.replace("</body>", probe + "</body>"))
    dom, console = opened(copy.as_uri(), "--dump-dom")
    found = re.search(r"<title>probe:(.*?)</title>", dom, re.S)
    assert found, console
    import html
    import json

    return json.loads(html.unescape(found[1])), console
