"""Cloud Storage on loopback, as far as the real client needs it: what the tests know of its JSON API."""

from tests.fake_gcs.dialect import CHATTY, GOOGLE, PLAIN, Dialect
from tests.fake_gcs.faults import Fault, FaultKind, RequestClass
from tests.fake_gcs.server import FakeGcs, Received

__all__ = ["CHATTY", "GOOGLE", "PLAIN", "Dialect", "FakeGcs", "Fault", "FaultKind", "Received", "RequestClass"]
