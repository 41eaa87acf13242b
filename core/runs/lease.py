"""The lease: which machine works on an org. Over several runs: taken by the first, kept while more wait, given back once."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from core.runs.ports import Transfer
from events.types import OrgId


class Lease(Protocol):
    """Says which machine works on an org. It saves work only; safety is the fence."""

    def hold(self, org_id: OrgId, *, until: float, transfer: Transfer) -> AbstractContextManager[None]:
        """Wait for the lease until a monotonic moment, keep it renewed inside the block; raises OrgError LEASE_BUSY."""
        ...


class KeptLease:
    """A ``Lease`` that is not given back at the end of a run, but by ``give_back``. For one thread at a time."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._held: ExitStack | None = None

    @contextmanager
    def hold(self, org_id: OrgId, *, until: float, transfer: Transfer) -> Iterator[None]:
        """Wait for the lease unless it is held already; see the port."""
        if self._held is None:
            held = ExitStack()
            held.enter_context(self._lease.hold(org_id, until=until, transfer=transfer))
            self._held = held
        yield

    def give_back(self) -> None:
        """End the holding, if there is one."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
