"""Ids are digests of what they name. Golden values by ``printf '%s' TEXT | sha256sum``, and uuid5 by sha1sum."""

from events.ids import NAMESPACE, completion_id, failure_id, rejection_id, run_id
from events.types import EventKey, OrgId

ACME = OrgId("acme")
ONE = EventKey("//a", "1")
TWO = EventKey("//a", "2")


def test_run_id_is_the_digest_of_org_generation_and_sorted_events() -> None:
    # printf '%s' '["run","acme",7,[["//a","1"],["//a","2"]]]' | sha256sum | cut -c1-32
    assert run_id(ACME, 7, [ONE, TWO]) == "7b03168c66ab9e7f9fd02f4599d6ab6d"


def test_run_id_of_no_object_and_no_event() -> None:
    # printf '%s' '["run","acme",0,[]]' | sha256sum | cut -c1-32
    assert run_id(ACME, 0, []) == "8d4389297904e0ebed5dcaec52df7d22"


def test_run_id_of_text_beyond_ascii_and_of_quotes() -> None:
    # printf '["run","acme",7,[["//\\u00e9","\\""]]]' | sha256sum | cut -c1-32
    assert run_id(ACME, 7, [EventKey("//é", '"')]) == "e81e7683a5255c5eff11b3c659dc60b1"


def test_run_id_does_not_depend_on_order_or_repetition() -> None:
    assert run_id(ACME, 7, [TWO, ONE, TWO]) == run_id(ACME, 7, [ONE, TWO])


def test_run_id_depends_on_org_generation_and_events() -> None:
    ids = {
        run_id(ACME, 7, [ONE]),
        run_id(OrgId("acme2"), 7, [ONE]),
        run_id(ACME, 8, [ONE]),
        run_id(ACME, 7, [TWO]),
        run_id(ACME, 7, [ONE, TWO]),
    }
    assert len(ids) == 5


def test_run_id_does_not_confuse_source_and_id() -> None:
    assert run_id(ACME, 7, [EventKey("a", "b,c")]) != run_id(ACME, 7, [EventKey("a,b", "c")])
    assert run_id(ACME, 7, [EventKey('a","b', "c")]) != run_id(ACME, 7, [EventKey("a", 'b","c')])


def test_the_namespace_never_changes() -> None:
    assert str(NAMESPACE) == "d512c24d-42e7-59b4-bc22-856b4518c4fc"


def test_completion_id_is_uuid5_of_org_and_run() -> None:
    assert completion_id(ACME, "0123456789abcdef" * 2) == "f1cfc6da-933c-567f-89c3-f02e264cd940"


def test_failure_id_is_one_per_event_and_code() -> None:
    assert failure_id(ACME, ONE, "bad_config") == "4eed798f-ac2e-5cd6-af27-2b86002cd757"
    assert failure_id(ACME, ONE, "bad_config") != failure_id(ACME, TWO, "bad_config")


def test_rejection_id_is_uuid5_of_digest_and_event() -> None:
    assert rejection_id("00ff", None) == "af6ffb5b-d759-5cab-b6b8-71fbb67aaa04"
    assert rejection_id("00ff", ONE) == "393ffcb4-4b2d-5069-ba38-1512b3b61eb5"
