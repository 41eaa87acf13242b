"""The operator's login: one password, judged in bounded numbers, and nothing of it in any answer."""

import base64

import pytest

from handlers.operator_login import FAILURE_WINDOW_SECONDS, FAILURES_MAX, OperatorLogin
from infra.secret import Secret
from infra.settings import Settings, SettingsError
from tests.clocks import FixedClock

PASSWORD = "correct horse battery"  # noqa: S105 - of the test only


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def login(clock: FixedClock) -> OperatorLogin:
    return OperatorLogin(Secret(PASSWORD), clock.monotonic)


def test_the_operator_is_welcome(login: OperatorLogin) -> None:
    assert login.judge(basic(f"operator:{PASSWORD}")) == "welcome"
    assert login.judge(basic(f"operator:{PASSWORD}").replace("Basic", "basic")) == "welcome"


@pytest.mark.parametrize("header", [None, ""])
def test_nobody_is_asked_to_log_in(header: str | None, login: OperatorLogin) -> None:
    assert login.judge(header) == "no_login"


@pytest.mark.parametrize(
    "header",
    [
        basic("operator:wrong"),
        basic(f"root:{PASSWORD}"),
        basic(PASSWORD),
        basic(""),
        basic(f"operator:{PASSWORD} "),
        "Basic not*base64",
        "Basic",
        "Bearer " + base64.b64encode(f"operator:{PASSWORD}".encode()).decode(),
        basic("operator:" + "x" * 2000),
    ],
)
def test_everybody_else_is_not(header: str, login: OperatorLogin) -> None:
    assert login.judge(header) == "wrong_login"


def test_after_many_wrong_passwords_none_is_judged_for_a_while(login: OperatorLogin, clock: FixedClock) -> None:
    for _ in range(FAILURES_MAX):
        assert login.judge(basic("operator:guess")) == "wrong_login"
        clock.advance(1)
    assert login.judge(basic(f"operator:{PASSWORD}")) == "too_many_failures"
    clock.advance(FAILURE_WINDOW_SECONDS - FAILURES_MAX - 0.5)
    assert login.judge(basic(f"operator:{PASSWORD}")) == "too_many_failures"
    clock.advance(0.5)
    assert login.judge(basic(f"operator:{PASSWORD}")) == "welcome"


@pytest.mark.parametrize("password", ["short", "x" * 15, "x" * 201])
def test_a_password_that_can_be_guessed_stops_the_start_and_is_not_repeated(password: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"OPERATOR_PASSWORD": password})
    assert "OPERATOR_PASSWORD is not usable: set it to 16 to 200 characters" in str(refused.value)
    assert password not in str(refused.value)


def test_a_password_is_a_secret() -> None:
    settings = Settings.from_env({"OPERATOR_PASSWORD": PASSWORD})
    assert settings.operator_password == Secret(PASSWORD)
    assert PASSWORD not in repr(settings)
