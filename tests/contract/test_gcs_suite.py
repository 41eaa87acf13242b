"""The behaviour suite of every bucket on the Cloud Storage adapter: the real client against the fake of its API, which
speaks as Google's does and as other servers of the same API may.
"""

from collections.abc import Iterator
from contextlib import closing

import pytest

from core.runs.ports import Bucket
from infra.gcs import GcsBucket
from infra.gcs_client import GcsLimits
from infra.settings import Settings
from tests.contract.bucket_suite import BucketSuite
from tests.fake_gcs import CHATTY, GOOGLE, PLAIN, Dialect, FakeGcs


def connected(dialect: Dialect) -> Iterator[Bucket]:
    with FakeGcs("bucket", dialect=dialect, page_size=3) as gcs:
        settings = Settings(gcs_bucket_name="bucket", storage_emulator_host=gcs.url)
        limits = GcsLimits(timeout_seconds=5, deadline_seconds=5, retry_first_seconds=0.01)
        with closing(GcsBucket.connect(settings, limits)) as bucket:
            yield bucket


class TestGcsBucket(BucketSuite):
    @pytest.fixture
    def bucket(self) -> Iterator[Bucket]:
        yield from connected(GOOGLE)


class TestGcsBucketOnAPlainServer(BucketSuite):
    @pytest.fixture
    def bucket(self) -> Iterator[Bucket]:
        yield from connected(PLAIN)


class TestGcsBucketOnAChattyServer(BucketSuite):
    @pytest.fixture
    def bucket(self) -> Iterator[Bucket]:
        yield from connected(CHATTY)
