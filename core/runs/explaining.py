"""One contact of an org database, explained as a run would plan it; writes nothing."""

from dataclasses import dataclass

from core.planning.calendar import day_number
from core.planning.explain import UnknownContactError, explain
from core.planning.explanation import Explanation
from core.planning.ledger import ConservationError
from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Clock, OrgDatabase
from core.runs.reading import read_org
from core.runs.reconcile import Order, config_of, planning_date


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation, and the configuration that it was made with."""

    explanation: Explanation
    config_hash: str


def explain_contact(db: OrgDatabase, order: Order, clock: Clock, contact_id: int) -> Explained:
    """Explain one contact as of the order's date and with its configuration.

    Raises OrgError as ``reconcile`` does, and CONTACT_MISSING.
    """
    config = config_of(db, order, clock, clock.now_utc())
    today, _ = planning_date(db, order, config, clock)
    reading = read_org(db, config, day_number(today))
    try:
        told = explain(reading.snapshot, config, day_number(today), contact_id)
    except UnknownContactError as error:
        raise OrgError(ErrorCode.CONTACT_MISSING, order.org_id, f"no contact {contact_id}") from error
    except ConservationError as error:
        raise OrgError(ErrorCode.CONSERVATION_FAILED, order.org_id, str(error)) from error
    return Explained(told, config.digest())
