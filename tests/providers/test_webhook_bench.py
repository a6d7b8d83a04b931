"""The webhook benchmark runs from end to end, and closes the turns of what it delivered."""

import os
import re
import subprocess
import sys

from .. import docs_tools as docs


def test_the_webhook_benchmark_prints_a_row_a_provider_and_leaves_no_turn_open() -> None:
    command = [sys.executable, "-m", "bench.webhook", "--rate", "20", "--seconds", "0.3"]
    environment = {**os.environ, "TEST_DB_URLS": ""}
    ran = subprocess.run(
        command, cwd=docs.ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    rows = re.findall(r"^\| (\w+) \| 6 \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \|$", ran.stdout, re.MULTILINE)
    assert rows == ["generic", "twilio", "meta", "slack", "telegram"]
    assert "30 turns accepted, 0 of them still open" in ran.stdout
