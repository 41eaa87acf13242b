"""The embedded bucket between real processes: no lost update under contention, nothing torn by kill -9."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from infra.checksum import crc32c_of_file
from infra.local_bucket import LocalBucket
from tests.contract.bucket_suite import NAME

REPOSITORY = Path(__file__).parents[2]

INCREMENT = """
import sys
from core.runs.ports import PreconditionFailedError
from infra.local_bucket import LocalBucket
bucket, wanted, done = LocalBucket(sys.argv[1]), int(sys.argv[2]), 0
while done < wanted:
    found = bucket.read("org-data/acme.db", max_bytes=100)
    value, generation = (int(found[0]), found[1].generation) if found else (0, 0)
    try:
        bucket.write("org-data/acme.db", str(value + 1).encode(), if_generation_match=generation, metadata={})
        done += 1
    except PreconditionFailedError:
        pass
"""

UPLOAD_FOR_EVER = """
import sys
from core.runs.ports import PreconditionFailedError
from infra.local_bucket import LocalBucket
bucket = LocalBucket(sys.argv[1], keep_versions=5)
while True:
    live = bucket.stat("org-data/acme.db")
    try:
        bucket.upload("org-data/acme.db", sys.argv[2], if_generation_match=live.generation if live else 0, metadata={})
    except PreconditionFailedError:
        pass
"""


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=REPOSITORY)


def test_eight_processes_lose_no_update(tmp_path: Path) -> None:
    processes = [start(INCREMENT, str(tmp_path), "15") for _ in range(8)]
    bucket = LocalBucket(str(tmp_path))
    seen = [0]
    while any(process.poll() is None for process in processes):
        live = bucket.stat(NAME)  # takes no lock, and never sees a half-written description
        seen.append(live.generation if live else 0)
    assert [process.wait(60) for process in processes] == [0] * 8
    assert seen == sorted(seen)
    found = bucket.read(NAME, max_bytes=100)
    assert found is not None
    assert int(found[0]) == 8 * 15
    versions = bucket.versions(NAME)
    assert len(versions) == 8 * 15
    assert [v.generation for v in versions] == sorted({v.generation for v in versions})


def test_kill_9_at_any_moment_tears_nothing(tmp_path: Path) -> None:
    chance = random.Random(20260101)
    root, sources = tmp_path / "bucket", []
    for letter in b"ab":
        sources.append(tmp_path / f"source{letter}")
        sources[-1].write_bytes(bytes([letter]) * 3_000_000)
    whole = {crc32c_of_file(str(source)) for source in sources}
    for kill in range(12):
        writers = [start(UPLOAD_FOR_EVER, str(root), str(source)) for source in sources]
        until = time.monotonic() + 30
        before = LocalBucket(str(root)).stat(NAME)
        while LocalBucket(str(root)).stat(NAME) == before and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.05)
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        bucket = LocalBucket(str(root))
        generations = [info.generation for info in bucket.versions(NAME)]
        assert generations == sorted(set(generations))
        for info in bucket.versions(NAME):
            copy = tmp_path / f"copy{kill}-{info.generation}"
            bucket.download(NAME, info.generation, str(copy))
            assert info.crc32c in whole
            assert crc32c_of_file(str(copy)) == info.crc32c
            copy.unlink()
    live = bucket.stat(NAME)
    assert live is not None
    bucket.write(NAME, b"still writable", if_generation_match=live.generation, metadata={})
    folder = next(root.iterdir())
    assert len(list(folder.iterdir())) <= 2 + 2 * 7  # lock, live.json and at most 5 + 2 versions: leftovers are bounded
