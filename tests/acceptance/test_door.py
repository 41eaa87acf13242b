"""The door of the real server: every wire shape, and every answer of the table in docs (Answers)."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.bucket_names import folder_of
from tests.acceptance.server_process import Answer, Background, Server, run_requested, running_server

MAX_BODY_BYTES = 3_000_000
FANOUT = "com.emailscheduler.fanout.requested.v1"
RUN = "com.emailscheduler.run.requested.v1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("door"), MAX_BODY_BYTES=str(MAX_BODY_BYTES)) as running:
        running.make_org("acme", contacts=200)
        yield running


def completions_of(server: Server, event_id: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """The published completions of runs that carried an event."""
    return [
        (attributes, data)
        for attributes, data in server.events("run.completed")
        if event_id in {ref["id"] for ref in data["event_ids"]}
    ]


def rejections(server: Server) -> list[dict[str, Any]]:
    return [data for _, data in server.events("event.rejected")]


def codes_of_last_rejection(server: Server) -> set[str]:
    return {reason["code"] for reason in rejections(server)[-1]["reasons"]}


def assert_refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code)
    assert set(answer.json) == {"code", "message", "hint"}
    assert answer.json["message"]
    assert answer.json["hint"]


# ------------------------------------------------------------------------------------------------ done


def test_a_bare_pubsub_message_is_a_run_request(server: Server) -> None:
    answer = server.push("bare-1", {"org_id": "acme"})
    assert (answer.status, answer.body) == (204, b"")
    [(attributes, data)] = completions_of(server, "bare-1")
    assert attributes["ce-subject"] == "org/acme"
    assert attributes["ce-runid"] == data["run_id"]
    assert data["counts"]["contacts"] == 200


def test_a_cloudevent_inside_a_push_is_taken_in_binary_form(server: Server) -> None:
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": "wrapped-1",
        "ce-source": "//tests",
        "ce-type": RUN,
        "ce-subject": "org/acme",
    }
    assert server.push("m-1", attributes, b"{}").status == 204
    assert completions_of(server, "wrapped-1")


def test_a_cloudevent_over_http_is_taken_in_binary_form(server: Server) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "binary-1",
        "ce-source": "//tests",
        "ce-type": RUN,
        "ce-subject": "org/acme",
        "Content-Type": "application/json",
    }
    assert server.request("POST", body=b"{}", headers=headers).status == 204
    assert completions_of(server, "binary-1")


def test_a_cloudevent_over_http_is_taken_in_structured_form(server: Server) -> None:
    assert server.event(run_requested("structured-1", "acme")).status == 204
    assert completions_of(server, "structured-1")


def test_an_unwrapped_push_is_taken(server: Server) -> None:
    headers = {"x-goog-pubsub-message-id": "unwrapped-1", "x-goog-pubsub-subscription-name": "s", "orgid": "acme"}
    assert server.request("POST", body=b"", headers=headers).status == 204
    assert completions_of(server, "unwrapped-1")


def test_every_event_of_a_batch_is_judged(server: Server) -> None:
    batch = [run_requested("batch-1", "acme"), run_requested("batch-2", "../x"), run_requested("batch-3", "acme")]
    before = len(rejections(server))
    body = json.dumps(batch).encode()
    answer = server.request("POST", body=body, headers={"Content-Type": "application/cloudevents-batch+json"})
    assert answer.status == 204
    assert completions_of(server, "batch-1")
    assert completions_of(server, "batch-3")
    assert len(rejections(server)) == before + 1


def test_a_body_in_chunks_is_taken(server: Server) -> None:
    body = json.dumps(run_requested("chunked-1", "acme")).encode()
    pieces = iter([body[:10], body[10:]])
    answer = server.request("POST", body=pieces, headers={"Content-Type": "application/cloudevents+json"})
    assert answer.status == 204
    assert completions_of(server, "chunked-1")


# ------------------------------------------------------------------------------------------------ fan-out


def test_a_fan_out_runs_every_org_it_asks_for_before_it_is_acknowledged(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        for org in ("one", "two", "three-test"):
            server.make_org(org, contacts=20)
        wish = base64.b64encode(b'{"exclude": ["*-test"]}').decode()
        fan_out = {"messageId": "night-1", "attributes": {"type": FANOUT}, "data": wish}
        for _ in range(2):
            assert server.request("POST", body=json.dumps({"message": fan_out}).encode()).status == 204
        carried = {ref["id"] for _, data in server.events("run.completed") for ref in data["event_ids"]}
        assert carried == {"night-1/one", "night-1/two"}
        assert len(server.bucket().versions("org-data/one.db")) == 2
        assert len(server.bucket().versions("org-data/three-test.db")) == 1


def test_a_fan_out_comes_again_if_one_of_its_runs_has_to(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.make_org("one", contacts=20)
        in_the_way = server.data_dir / "bus" / "events.jsonl"
        in_the_way.mkdir(parents=True)
        assert_refused(server.push("night-1", {"type": FANOUT}), 503, "bus_unreachable")
        in_the_way.rmdir()
        assert server.push("night-1", {"type": FANOUT}).status == 204
        assert completions_of(server, "night-1/one")


# ------------------------------------------------------------------------------------------------ exactly once


def test_the_same_message_twice_is_one_run(server: Server) -> None:
    server.make_org("twice", contacts=50)
    assert [server.push("same", {"org_id": "twice"}).status for _ in range(2)] == [204, 204]
    first, second = completions_of(server, "same")
    assert first[0]["ce-id"] == second[0]["ce-id"]
    assert (first[1]["changed"], first[1]["replayed"], second[1]["replayed"]) == (True, False, True)
    assert len(server.bucket().versions("org-data/twice.db")) == 2  # the upload of the test, and one run


def test_the_same_message_pushed_many_times_at_once_is_one_run(server: Server) -> None:
    server.make_org("twins", contacts=200)
    pushes = [Background(lambda: server.push("twin", {"org_id": "twins"})) for _ in range(6)]
    assert [answer and answer.status for answer in (push.join() for push in pushes)] == [204] * 6
    completions = completions_of(server, "twin")
    assert len({attributes["ce-id"] for attributes, _ in completions}) == 1
    assert sum(not data["replayed"] for _, data in completions) == 1
    assert len(server.bucket().versions("org-data/twins.db")) == 2


def test_the_same_job_with_two_message_ids_is_two_runs(server: Server) -> None:
    server.make_org("daily", contacts=50)
    assert [server.push(f"day-{day}", {"org_id": "daily"}).status for day in (1, 2)] == [204, 204]
    [(first, today)] = completions_of(server, "day-1")
    [(second, tomorrow)] = completions_of(server, "day-2")
    assert first["ce-id"] != second["ce-id"]
    assert (today["changed"], tomorrow["changed"]) == (True, False)
    assert tomorrow["generation"] == today["generation"]
    assert len(server.bucket().versions("org-data/daily.db")) == 2


# ------------------------------------------------------------------------------------------------ bad for good


def test_malformed_json_is_rejected_once_and_acknowledged(server: Server) -> None:
    assert server.request("POST", body=b'{"message":', headers={"Content-Type": "application/json"}).status == 204
    assert codes_of_last_rejection(server) == {"not_json"}


def test_a_body_of_no_shape_is_rejected(server: Server) -> None:
    assert server.request("POST", body=b"{}").status == 204
    assert codes_of_last_rejection(server) == {"unknown_shape"}


def test_wrong_types_are_rejected_with_every_reason(server: Server) -> None:
    assert server.event(run_requested("wrong-1", "acme", force="yes", as_of=7, extra=1)).status == 204
    reasons = {(reason["code"], reason["pointer"]) for reason in rejections(server)[-1]["reasons"]}
    assert {("wrong_type", "/data/force"), ("wrong_type", "/data/as_of"), ("unknown_field", "/data/extra")} <= reasons


def test_an_unknown_type_is_rejected(server: Server) -> None:
    assert server.event({**run_requested("type-1", "acme"), "type": "com.example.unknown"}).status == 204
    assert codes_of_last_rejection(server) == {"unknown_type"}


@pytest.mark.parametrize("org", ["../x", "", "a" * 65, "a/b", "a\n", "-a", "."])
def test_a_bad_org_id_reaches_no_path(server: Server, org: str) -> None:
    before = len(rejections(server))
    assert server.push(f"bad-org-{len(org)}-{org[:1]}", {"org_id": org}).status == 204
    assert len(rejections(server)) == before + 1
    assert codes_of_last_rejection(server) <= {"bad_org_id", "bad_text", "missing_org", "missing_attribute"}
    assert rejections(server)[-1]["org_id"] is None


@pytest.mark.parametrize("as_of", ["2026-02-30", "tomorrow", "2026-1-1", ""])
def test_a_bad_as_of_is_rejected(server: Server, as_of: str) -> None:
    assert server.event(run_requested(f"as-of-{as_of}", "acme", as_of=as_of)).status == 204
    assert rejections(server)[-1]["reasons"][0]["pointer"] == "/data/as_of"


def test_an_as_of_far_away_is_rejected_without_force(server: Server) -> None:
    assert server.event(run_requested("far-1", "acme", as_of="2001-01-01")).status == 204
    assert codes_of_last_rejection(server) == {"as_of_refused"}


def test_a_message_without_any_id_is_rejected(server: Server) -> None:
    body = json.dumps({"message": {"attributes": {"org_id": "acme"}}}).encode()
    assert server.request("POST", body=body).status == 204
    assert codes_of_last_rejection(server) == {"missing_attribute"}


def test_an_org_without_an_object_is_rejected(server: Server) -> None:
    assert server.push("nobody-1", {"org_id": "nobody"}).status == 204
    assert codes_of_last_rejection(server) == {"object_missing"}
    assert server.bucket().stat("org-data/nobody.db") is None


def test_create_makes_the_object_of_a_new_org(server: Server) -> None:
    assert server.event(run_requested("create-1", "newcomer", create=True)).status == 204
    [(_, data)] = completions_of(server, "create-1")
    assert (data["changed"], data["parent_generation"], data["counts"]["contacts"]) == (True, 0, 0)
    assert server.bucket().stat("org-data/newcomer.db") is not None


def test_a_large_bad_body_is_kept_in_the_bucket_and_referred_to(server: Server) -> None:
    body = b"{" + b" " * 1_100_000
    assert [server.request("POST", body=body).status for _ in range(2)] == [204, 204]
    first, second = rejections(server)[-2:]
    assert first["body_base64"] is None
    assert first["body_reference"] == second["body_reference"]
    kept = server.bucket().read(first["body_reference"], max_bytes=2_000_000)
    assert kept is not None
    assert kept[0] == body


# ------------------------------------------------------------------------------------------------ the org's own fault


def test_a_corrupt_object_is_told_once_and_acknowledged(server: Server, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"this is no database " * 500)
    server.bucket().upload("org-data/broken.db", str(garbage), if_generation_match=0, metadata={})
    assert server.push("broken-1", {"org_id": "broken"}).status == 204
    [(attributes, data)] = server.events("run.failed", "broken")
    assert (attributes["ce-subject"], data["code"], data["retryable"]) == ("org/broken", "not_sqlite", False)
    assert data["hint"]


# ------------------------------------------------------------------------------------------------ refused at the door


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post_is_allowed(server: Server, method: str) -> None:
    answer = server.request(method)
    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_a_body_over_the_limit_is_refused_by_its_declared_length(server: Server) -> None:
    assert_refused(server.request("POST", body=b" " * (MAX_BODY_BYTES + 1)), 413, "body_too_large")


def test_a_body_over_the_limit_is_refused_by_what_really_comes(server: Server) -> None:
    pieces = (b" " * 65_536 for _ in range(MAX_BODY_BYTES // 65_536 + 2))
    assert_refused(server.request("POST", body=pieces), 413, "body_too_large")


def test_a_body_at_the_limit_is_taken(server: Server) -> None:
    event = json.dumps(run_requested("limit-1", "acme")).encode().ljust(MAX_BODY_BYTES)
    pieces = iter([event[:1000], event[1000:]])
    for body in (event, pieces):
        answer = server.request("POST", body=body, headers={"Content-Type": "application/cloudevents+json"})
        assert answer.status == 204
    assert completions_of(server, "limit-1")


@pytest.mark.parametrize("path", ["/robots.txt", "/favicon.ico"])
def test_nothing_of_the_framework_is_served(server: Server, path: str) -> None:
    assert_refused(server.request("POST", path, body=b"x"), 404, "not_found")


def test_a_body_that_breaks_off_is_no_message(server: Server) -> None:
    import socket

    body = json.dumps(run_requested("broken-off", "acme")).encode()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\n"
    for framing in (
        b"Content-Length: %d\r\n\r\n%s" % (len(body) + 5, body),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body),
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(head + framing)
            connection.shutdown(socket.SHUT_WR)
            assert b" 204 " not in connection.recv(1000)
    assert not completions_of(server, "broken-off")


# ------------------------------------------------------------------------------------------------ come again


def test_a_bus_fault_is_503_until_the_bus_is_back(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.make_org("acme", contacts=20)
        in_the_way = server.data_dir / "bus" / "events.jsonl"
        in_the_way.mkdir(parents=True)
        for answer in (server.push("bus-1", {"org_id": "acme"}), server.request("POST", body=b"{}")):
            assert_refused(answer, 503, "bus_unreachable")
            assert int(answer.headers["Retry-After"]) > 0
        in_the_way.rmdir()
        assert server.push("bus-1", {"org_id": "acme"}).status == 204
        assert len(completions_of(server, "bus-1")) == 1
        assert len(server.bucket().versions("org-data/acme.db")) == 2


def test_a_batch_is_503_if_one_event_has_to_come_again(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.make_org("acme", contacts=20)
        server.make_org("stuck", contacts=20)
        live = server.data_dir / "bucket" / folder_of("org-data/stuck.db") / "live.json"
        live.unlink()
        live.mkdir()  # the bucket cannot even say what it has
        batch = json.dumps([run_requested("b-1", "stuck"), run_requested("b-2", "acme")]).encode()
        answer = server.request("POST", body=batch, headers={"Content-Type": "application/cloudevents-batch+json"})
        assert answer.status == 503
        assert "Retry-After" in answer.headers
        assert completions_of(server, "b-2")


# ------------------------------------------------------------------------------------------------ who sends


def test_without_a_token_nothing_is_read(tmp_path: Path) -> None:
    oidc = {"OIDC_AUDIENCE": "https://door.example", "OIDC_SERVICE_ACCOUNT_EMAIL": "push@p.iam.gserviceaccount.com"}
    with running_server(tmp_path, **oidc) as server:
        answer = server.push("token-1", {"org_id": "acme"})
        assert_refused(answer, 401, "no_token")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        answer = server.event(run_requested("token-2", "acme"), headers={"Authorization": "Bearer not.a.token"})
        assert_refused(answer, 401, "malformed")
        assert server.events() == []
        assert server.request("GET", "/readyz").status == 200


# ------------------------------------------------------------------------------------------------ start


@pytest.mark.parametrize(
    ("env", "word", "code"),
    [
        # The command line refuses settings before there is a server: 4. The server itself: 1.
        ({"PORT": "many"}, "PORT", 4),
        ({"HOST": "0.0.0.0"}, "ALLOW_UNAUTHENTICATED", 4),  # noqa: S104 - this is what is refused
        ({"FLY_APP_NAME": "x"}, "GCS_BUCKET_NAME", 4),
        ({"GCS_BUCKET_NAME": "some-bucket", "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"}, "GCS_KEYFILE_JSON", 1),
        ({"DATA_DIR": "/dev/null/x"}, "DATA_DIR", 1),
    ],
)
def test_a_server_that_cannot_work_refuses_to_start(tmp_path: Path, env: dict[str, str], word: str, code: int) -> None:
    server = Server(tmp_path, env)
    server.start(until_ready=False)
    try:
        assert server.exit_code() == code
        text = server.log_file.read_text()
        assert word in text
        assert "Traceback" not in text
    finally:
        server.kill()


def test_nobody_is_named_in_the_log(server: Server) -> None:
    event = run_requested("secret-1", "acme", email="ada@example.com", first_name="Ada")
    assert server.event(event).status == 204
    assert "ada@example.com" not in server.log_file.read_text()
