"""The pages for people: a login of their own, the list of orgs, and the report of each."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.server_process import Answer, Server, running_server

PASSWORD = "a password for people"  # noqa: S105 - of the test's own server
LOGIN = {"Authorization": "Basic " + base64.b64encode(f"operator:{PASSWORD}".encode()).decode()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("pages"), OPERATOR_PASSWORD=PASSWORD) as running:
        running.make_org("acme", contacts=200)
        running.make_org("quiet", contacts=5)
        assert running.push("one", {"org_id": "acme"}).status == 204
        yield running


def page(server: Server, path: str, headers: dict[str, str] = LOGIN) -> Answer:
    return server.request("GET", path, headers=headers)


@pytest.mark.parametrize("path", ["/orgs", "/orgs/acme/report", "/orgs/nobody/report", "/orgs/acme/other"])
def test_without_a_login_nothing_is_told(path: str, server: Server) -> None:
    wrong = {"Authorization": "Basic " + base64.b64encode(b"operator:guess").decode()}
    for headers in ({}, wrong, {"Authorization": "Bearer token"}):
        answer = page(server, path, headers)
        assert (answer.status, answer.json["code"]) == (401, "no_login")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert PASSWORD not in server.log_file.read_text()


def test_the_report_of_an_org_is_one_page_that_loads_and_runs_nothing(server: Server) -> None:
    answer = page(server, "/orgs/acme/report")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.body.decode()
    assert "<h1>acme: e-mail plan</h1>" in text
    assert "The plan is what was stored already." in text
    assert "<script" not in text


def test_a_page_is_kept_until_the_org_has_another_generation(server: Server) -> None:
    server.make_org("kept", contacts=5)
    assert page(server, "/orgs/kept/report").status == 200
    first = len(server.logged("report_made"))
    assert page(server, "/orgs/kept/report").status == 200
    assert len(server.logged("report_made")) == first
    assert server.push("kept-1", {"org_id": "kept"}).status == 204
    assert page(server, "/orgs/kept/report").status == 200
    assert len(server.logged("report_made")) == first + 1


def test_the_list_of_orgs_begins_with_the_silent_ones(server: Server) -> None:
    text = page(server, "/orgs").body.decode()
    assert text.index('href="/orgs/quiet/report"') < text.index('href="/orgs/acme/report"')
    assert "no run yet" in text
    assert "completed" in text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/orgs/nobody/report", "object_missing"),
        ("/orgs/..%2F..%2Fetc/report", "not_found"),
        ("/orgs/a%20b/report", "not_found"),
        ("/orgs/acme/other", "not_found"),
        ("/orgs/acme/report/", "not_found"),
    ],
)
def test_what_is_not_there_is_not_found(path: str, code: str, server: Server) -> None:
    answer = page(server, path)
    assert (answer.status, answer.json["code"]) == (404, code)


def test_an_org_that_cannot_be_read_says_why(server: Server) -> None:
    server.bucket().write("org-data/broken.db", b"no database", if_generation_match=0, metadata={})
    answer = page(server, "/orgs/broken/report")
    assert (answer.status, answer.json["code"]) == (422, "not_sqlite")


def test_pages_are_read_only(server: Server) -> None:
    answer = server.request("POST", "/orgs/acme/report", headers=LOGIN)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


def test_without_a_password_there_are_no_pages(tmp_path: Path) -> None:
    with running_server(tmp_path) as closed:
        answer = page(closed, "/orgs")
        assert (answer.status, answer.json["code"]) == (404, "pages_off")
