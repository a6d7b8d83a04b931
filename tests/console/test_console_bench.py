"""The console's benchmark runs from end to end: it fills a database, and finds every page."""

import os
import re
import subprocess
import sys

from ..harness import ROOT


def test_the_console_benchmark_measures_every_page_and_turns_some() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bench.console", "--messages", "4000", "--requests", "2"],
        cwd=ROOT, env={**os.environ, "TEST_DB_URLS": ""}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    rows = re.findall(r"^\| (.+?) \| \d+ \| \d+ \|$", ran.stdout, re.MULTILINE)
    assert "the slowest page" in ran.stdout, ran.stderr[-2000:]
    assert {"chat", "approvals, pending", "sessions, searched", "one turn", "audit", "health"} <= set(rows)
    assert {"audit, far down", "deliveries, far down", "all writes, far down"} <= set(rows)
