"""Settings: one table, every problem at once, and no secret in any message."""

import json
import pickle
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode
from infra.secret import Secret
from infra.settings import SETTINGS, Settings, SettingsError

KEY = json.dumps(
    {
        "type": "service_account",
        "client_email": "s@p.iam.gserviceaccount.com",
        "private_key": "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
)


def problems_of(env: dict[str, str], *, serving: bool = True) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env, serving=serving)
    assert caught.value.code is ErrorCode.SETTINGS_INVALID
    return caught.value.problems


def test_an_empty_environment_is_local_and_closed() -> None:
    settings = Settings.from_env({"HOME": "/home/ada"})
    assert settings.gcs_bucket_name is None
    assert settings.pubsub_project is None
    assert settings.on_loopback
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.max_body_bytes == 16 * 1024 * 1024
    assert settings.run_deadline_seconds == 540
    assert settings.data_dir == Path("/home/ada/.local/share/emailsched")


def test_every_kind_of_value_is_read() -> None:
    settings = Settings.from_env(
        {
            "GCS_BUCKET_NAME": "my-bucket",
            "GCS_KEYFILE_JSON": KEY,
            "PORT": "9000",
            "LEASE_SECONDS": "12.5",
            "LOG_LEVEL": "warning",
            "ALLOW_UNVERSIONED_BUCKET": "true",
            "DATA_DIR": "relative/dir",
            "ORG_ID": "acme-1",
        }
    )
    assert settings.gcs_bucket_name == "my-bucket"
    assert settings.gcs_keyfile_json is not None
    assert json.loads(settings.gcs_keyfile_json.reveal())["type"] == "service_account"
    assert settings.port == 9000
    assert settings.lease_seconds == 12.5
    assert settings.log_level == "WARNING"
    assert settings.allow_unversioned_bucket is True
    assert settings.data_dir == Path.cwd() / "relative" / "dir"
    assert settings.org_id == "acme-1"


@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
def test_blank_is_not_set(blank: str) -> None:
    env = {setting.name: blank for setting in SETTINGS} | {"HOME": "/h"}
    assert Settings.from_env(env) == Settings.from_env({"HOME": "/h"})


@pytest.mark.parametrize(
    ("env", "data_dir"),
    [
        ({"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/emailsched"),
        ({"XDG_DATA_HOME": "not/absolute", "HOME": "/h"}, "/h/.local/share/emailsched"),
        ({"XDG_DATA_HOME": "/x", "DATA_DIR": "/data"}, "/data"),
    ],
)
def test_the_data_directory_follows_the_xdg_rules(env: dict[str, str], data_dir: str) -> None:
    assert Settings.from_env(env).data_dir == Path(data_dir)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("PORT", "null"),
        ("LEASE_SECONDS", "nan"),
        ("LEASE_SECONDS", "inf"),
        ("LEASE_SECONDS", "1"),
        ("GCS_BUCKET_NAME", "gs://bucket"),
        ("ALLOW_UNAUTHENTICATED", "maybe"),
        ("LOG_LEVEL", "LOUD"),
        ("ORG_ID", "../etc"),
        ("STORAGE_EMULATOR_HOST", "127.0.0.1:9"),
        ("COMPLETION_TOPIC", "projects/p/topics/t"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_set(name: str, text: str) -> None:
    (problem,) = problems_of({name: text})
    setting = next(setting for setting in SETTINGS if setting.name == name)
    assert problem.startswith(f"{name} is {text!r}: set it to {setting.allowed}")


def test_every_problem_is_reported_at_once() -> None:
    found = problems_of({"PORT": "x", "RUN_SLOTS": "0", "FLY_APP_NAME": "app", "OIDC_AUDIENCE": "a"})
    assert [problem.split()[0] for problem in found] == ["PORT", "RUN_SLOTS", "GCS_BUCKET_NAME", "OIDC_AUDIENCE"]


def test_a_wrong_value_is_not_also_reported_as_missing() -> None:
    (problem,) = problems_of({"FLY_APP_NAME": "app", "GCS_BUCKET_NAME": "gs://b"})
    assert "gs://b" in problem


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"type": "authorized_user", "refresh_token": "hush"}', KEY[:-9]])
def test_a_key_that_is_none_is_refused_without_being_shown(text: str) -> None:
    (problem,) = problems_of({"GCS_KEYFILE_JSON": text})
    assert problem.startswith("GCS_KEYFILE_JSON is not usable: set it to the whole JSON text")
    assert "hush" not in problem


def test_a_key_in_the_wrong_variable_is_not_shown() -> None:
    (problem,) = problems_of({"GCS_BUCKET_NAME": KEY})
    assert "BEGIN" not in problem
    assert "gserviceaccount" not in problem


def test_the_key_is_in_no_repr_and_in_no_pickle() -> None:
    settings = Settings.from_env({"GCS_KEYFILE_JSON": KEY})
    assert "hush" not in repr(settings)
    assert "hush" not in f"{settings.gcs_keyfile_json} {settings.gcs_keyfile_json!r}"
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(settings)
    assert Secret("a") == Secret("a") != Secret("b")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_lock(host: str) -> None:
    assert Settings.from_env({"HOST": host}).on_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com"])  # noqa: S104
def test_an_open_door_is_refused(host: str) -> None:
    (problem,) = problems_of({"HOST": host})
    assert "OIDC_AUDIENCE" in problem
    assert "ALLOW_UNAUTHENTICATED=1" in problem
    locks = ({"OIDC_AUDIENCE": "https://x", "OIDC_SERVICE_ACCOUNT_EMAIL": "a@b"}, {"ALLOW_UNAUTHENTICATED": "1"})
    for lock in locks:
        assert not Settings.from_env({"HOST": host, **lock}).on_loopback
    assert Settings.from_env({"HOST": host}, serving=False).host == host


@pytest.mark.parametrize("name", ["OIDC_AUDIENCE", "OIDC_SERVICE_ACCOUNT_EMAIL"])
def test_half_of_oidc_is_refused_even_on_loopback(name: str) -> None:
    (problem,) = problems_of({name: "a@b"})
    assert "set both or none" in problem


def test_on_fly_a_missing_bucket_is_an_error() -> None:
    (problem,) = problems_of({"FLY_APP_NAME": "app"}, serving=False)
    assert problem.startswith("GCS_BUCKET_NAME is not set")
    assert Settings.from_env({"FLY_APP_NAME": "app", "GCS_BUCKET_NAME": "bucket"}).gcs_bucket_name == "bucket"


def test_the_table_documents_every_setting() -> None:
    assert len(SETTINGS) == len(Settings.__struct_fields__)
    for setting in SETTINGS:
        assert setting.name == setting.field.upper()
        assert setting.allowed
        assert setting.description
    assert [setting.name for setting in SETTINGS if setting.secret] == ["GCS_KEYFILE_JSON", "OPERATOR_PASSWORD"]


def test_the_written_default_of_every_setting_is_accepted_and_changes_nothing() -> None:
    depend_on_the_machine = {"DATA_DIR", "RUN_SLOTS", "PLANNING_PROCESSES", "MEMORY_LIMIT_MB", "DISK_LIMIT_MB"}
    written = {s.name: s.default for s in SETTINGS if s.default and s.name not in depend_on_the_machine}
    assert Settings.from_env({**written, "HOME": "/h"}) == Settings.from_env({"HOME": "/h"})
