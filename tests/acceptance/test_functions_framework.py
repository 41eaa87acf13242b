"""The target under the plain Functions Framework, without our server."""

import socket
import sys
from pathlib import Path

import pytest

from tests.acceptance.server_process import REPOSITORY, START_SECONDS_MAX, Server, run_requested


@pytest.mark.parametrize("signature", [(), ("--signature-type", "http")])
def test_the_target_works_under_the_plain_framework(tmp_path: Path, signature: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("functions-framework")
    source = REPOSITORY / "handlers" / "main.py"
    command = (str(program), "--target", "handle", "--source", str(source), "--host", "127.0.0.1", "--port", str(port))
    server = Server(tmp_path, {"MAX_BODY_BYTES": "100000"}, (*command, *signature), port)
    server.make_org("acme", contacts=50)
    server.start(until_ready=False)

    def answers() -> bool:
        try:
            return server.request("GET", timeout_seconds=5).status == 405
        except OSError:
            return False

    try:
        server.wait_until(answers, START_SECONDS_MAX)
        assert server.push("bare-1", {"org_id": "acme"}).status == 204
        assert server.event(run_requested("structured-1", "acme")).status == 204
        assert server.request("POST", body=b"not json").status == 204
        assert server.request("POST", body=b"x" * 100_001).status == 413
        assert server.request("POST", body=iter([b"x" * 60_000] * 2)).status == 413
        types = [attributes["ce-type"].split(".")[-2] for attributes, _ in server.events()]
        assert types == ["completed", "completed", "rejected"]
    finally:
        server.kill()
