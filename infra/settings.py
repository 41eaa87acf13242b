"""Everything that can be set, in one table: the fields of ``Settings``, named like the environment variables.

Parsing, the messages about mistakes, and the documentation (``SETTINGS``) are derived from that table. A variable that
is set to nothing but blanks counts as not set. All problems are reported at once, each with what to set.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self

import msgspec
from msgspec import Meta, Struct

from core.runs.errors import ErrorCode, OrgError
from infra.machine import cpu_count, memory_bytes
from infra.secret import Secret
from infra.settings_table import Setting, complaint, parse, rows_of

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

_TOPIC: Final = r"^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$"
_SUBSCRIPTIONS: Final = r"^[A-Za-z][A-Za-z0-9._~+%-]{2,254}( *, *[A-Za-z][A-Za-z0-9._~+%-]{2,254}){0,9}$"
_URL: Final = r"^https?://[^\s/]+(:[0-9]+)?$"
_ENDPOINT: Final = r"^https?://[^\s/?#]+(/[^\s?#]*)?$"
_URL_WITH_PATH: Final = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"
_HOST_PORT: Final = r"^[^\s/:]+:[0-9]{1,5}$"


class _Conflict(NamedTuple):
    """A rule between settings that does not hold: the settings it speaks of, and what to set."""

    names: frozenset[str]
    message: str


_NO_BUCKET_ON_FLY: Final = _Conflict(
    frozenset({"GCS_BUCKET_NAME"}),
    "GCS_BUCKET_NAME is not set, and on Fly a local bucket is lost with its machine: "
    "set it with `fly secrets set GCS_BUCKET_NAME=...`",
)
_HALF_OIDC: Final = _Conflict(
    frozenset({"OIDC_AUDIENCE", "OIDC_SERVICE_ACCOUNT_EMAIL"}),
    "OIDC_AUDIENCE and OIDC_SERVICE_ACCOUNT_EMAIL check nothing without each other: set both or none",
)
_OPEN_DOOR: Final = _Conflict(
    frozenset({"HOST", "OIDC_AUDIENCE", "OIDC_SERVICE_ACCOUNT_EMAIL", "ALLOW_UNAUTHENTICATED"}),
    "HOST is reachable from outside and nothing checks who sends: set OIDC_AUDIENCE and OIDC_SERVICE_ACCOUNT_EMAIL, "
    "or HOST=127.0.0.1, or ALLOW_UNAUTHENTICATED=1 if something in front of this server checks",
)


class SettingsError(OrgError):
    """The environment cannot be used; ``problems`` has every reason, one sentence each, without secrets."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__(ErrorCode.SETTINGS_INVALID, detail="; ".join(problems))


def _default_data_dir() -> Path:
    return Path.home() / ".local" / "share" / "emailsched"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One validated reading of the environment. ``Settings()`` is the default: everything local, nothing open."""

    # --- the bucket
    gcs_bucket_name: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$",
                description="Cloud Storage bucket with the org databases; without it a directory in DATA_DIR stands in",
                extra={"allowed": "a bucket's name, without gs://"},
            ),
        ]
        | None
    ) = None
    gcs_keyfile_json: (
        Annotated[
            Secret,
            Meta(
                description="service account key for bucket and bus; without it application default credentials",
                extra={"allowed": "the whole JSON text of a service account's key file"},
            ),
        ]
        | None
    ) = None
    allow_unversioned_bucket: Annotated[
        bool, Meta(description="run although the bucket keeps no old versions; then nothing can be restored")
    ] = False
    bucket_timeout_seconds: Annotated[
        float, Meta(ge=1, le=600, description="longest silence on one request to the bucket or the bus")
    ] = 60.0
    bucket_deadline_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="how long one small request to the bucket or the bus is retried in all")
    ] = 120.0
    storage_emulator_host: (
        Annotated[
            str,
            Meta(
                pattern=_ENDPOINT,
                description="a Cloud Storage emulator to use instead of Google's; no credentials are sent to it",
                extra={"allowed": "a URL such as http://127.0.0.1:9023"},
            ),
        ]
        | None
    ) = None

    # --- the bus
    pubsub_project: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z][a-z0-9:.-]{4,98}[a-z0-9]$",
                description="Google Cloud project of the topics; without it published events go to a file in DATA_DIR",
                extra={"allowed": "a project id"},
            ),
        ]
        | None
    ) = None
    completion_topic: Annotated[
        str,
        Meta(
            pattern=_TOPIC,
            description="topic for run.completed, run.failed and event.rejected",
            extra={"allowed": "a topic's short name, without projects/"},
        ),
    ] = "email-scheduler-completions"
    request_topic: Annotated[
        str,
        Meta(
            pattern=_TOPIC,
            description="topic for the run requests that a fan-out makes",
            extra={"allowed": "a topic's short name, without projects/"},
        ),
    ] = "email-scheduler-requests"
    pull_subscriptions: (
        Annotated[
            str,
            Meta(
                pattern=_SUBSCRIPTIONS,
                description="subscriptions that `emailsched worker` pulls from",
                extra={"allowed": "subscriptions' short names, separated by commas"},
            ),
        ]
        | None
    ) = None
    dead_letter_subscription: Annotated[
        str,
        Meta(
            pattern=_TOPIC,
            description="subscription with the messages that nobody could carry, for `emailsched dead-letters`",
            extra={"allowed": "a subscription's short name, without projects/"},
        ),
    ] = "email-scheduler-dead-letters"
    pubsub_emulator_host: (
        Annotated[
            str,
            Meta(
                pattern=_HOST_PORT,
                description="a Pub/Sub emulator to use instead of Google's; no credentials are sent to it",
                extra={"allowed": "host:port"},
            ),
        ]
        | None
    ) = None

    # --- this machine
    data_dir: Annotated[
        Path,
        Meta(
            description="mirrors and working copies: a disposable cache, except for the local bucket and bus in it",
            extra={"default": "$XDG_DATA_HOME/emailsched, else ~/.local/share/emailsched"},
        ),
    ] = msgspec.field(default_factory=_default_data_dir)
    org_id: (
        Annotated[
            str,
            Meta(
                description="default org of the command line",
                extra={"allowed": "1 to 64 characters of A-Z a-z 0-9 _ -, beginning with a letter or a digit"},
            ),
        ]
        | None
    ) = None
    log_level: Annotated[LogLevel, Meta(description="least severe record that is written to stderr")] = "INFO"
    disk_reserve_mb: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="megabytes of DATA_DIR's disk that mirrors and working copies leave free"),
    ] = 256
    rsync_timeout_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="longest run of sqlite3_rsync before it is killed")
    ] = 300.0
    lease_seconds: Annotated[
        float, Meta(ge=10, le=3600, description="how long a machine's claim on an org holds without being renewed")
    ] = 60.0
    run_deadline_seconds: Annotated[
        float, Meta(ge=10, le=3600, description="longest time from a message's arrival to its answer")
    ] = 540.0

    # --- traces
    otel_exporter_otlp_endpoint: (
        Annotated[
            str,
            Meta(
                pattern=_URL_WITH_PATH,
                description="OpenTelemetry collector that spans go to over HTTP; without it there are no traces",
                extra={"allowed": "a URL such as http://127.0.0.1:4318"},
            ),
        ]
        | None
    ) = None
    trace_sample_ratio: Annotated[
        float, Meta(ge=0, le=1, description="share of messages without a sampled trace of their own that are traced")
    ] = 1.0

    # --- the server
    host: Annotated[str, Meta(min_length=1, description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on; 0: any free one")] = 8080
    metrics_port: Annotated[int, Meta(ge=0, le=65535, description="port of /metrics; 0: none")] = 9090
    max_waiters: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="messages that may wait at once, of one org at most half; more are told to come again",
        ),
    ] = 512
    run_slots: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="runs at the same time, of different orgs",
            extra={"default": "the machine's processors"},
        ),
    ] = msgspec.field(default_factory=cpu_count)
    planning_processes: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="processes that a server plans in, one run at a time each; 0: it plans in its own",
            extra={"default": "the machine's processors"},
        ),
    ] = msgspec.field(default_factory=cpu_count)
    memory_limit_mb: Annotated[
        int,
        Meta(
            ge=64,
            le=10_000_000,
            description="megabytes of memory that runs may take together, by estimate; an org that needs more is too large",
            extra={"default": "four fifths of the machine's, or of its container's"},
        ),
    ] = msgspec.field(default_factory=lambda: memory_bytes() * 4 // 5 // 1_000_000)
    disk_limit_mb: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=100_000_000,
                description="megabytes of DATA_DIR that runs may take together: four times their objects",
                extra={"default": "the size of DATA_DIR's disk, without DISK_RESERVE_MB"},
            ),
        ]
        | None
    ) = None
    upload_gap_seconds: Annotated[
        float, Meta(ge=0, le=60, description="least time between two uploads of one org; a bucket takes one a second")
    ] = 1.0
    linger_from_mb: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="databases of so many megabytes wait for more data before a run begins"),
    ] = 50
    linger_seconds_max: Annotated[
        float, Meta(ge=0, le=300, description="longest such wait, a second for each 10 MB; run requests end it")
    ] = 120.0
    planning_seconds_max: Annotated[
        float, Meta(ge=1, le=3600, description="longest time that one run may plan before its process is replaced")
    ] = 540.0
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=64 * 1024 * 1024, description="largest request body; 16 MiB is a 10 MB message in base64")
    ] = 16 * 1024 * 1024
    oidc_audience: Annotated[str, Meta(min_length=1, description="audience that push tokens must be for")] | None = None
    oidc_service_account_email: (
        Annotated[
            str,
            Meta(
                pattern=r"^[^@\s]+@[^@\s]+$",
                description="service account that push tokens must come from",
                extra={"allowed": "an e-mail address"},
            ),
        ]
        | None
    ) = None
    operator_password: (
        Annotated[
            Secret,
            Meta(
                description="password of the pages for people at /orgs, user operator; without it there are none",
                extra={"allowed": "16 to 200 characters without blanks at the ends"},
            ),
        ]
        | None
    ) = None
    allow_unauthenticated: Annotated[
        bool, Meta(description="listen beyond this machine without checking who sends; anybody can then start runs")
    ] = False
    fly_app_name: Annotated[str, Meta(description="set by Fly.io; there a missing bucket is an error")] | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, serving: bool = True) -> Self:
        """Read and judge an environment; raises SettingsError with every problem.

        ``serving=False`` is for commands that open no port: they do not need the door to be locked.
        """
        values: dict[str, object] = {"data_dir": _data_dir_of(env)}
        problems: list[str] = []
        for setting in SETTINGS:
            text = env.get(setting.name, "").strip()
            if not text:
                continue
            try:
                values[setting.field] = parse(setting, text)
            except ValueError:
                problems.append(complaint(setting, text))
        # A value that was set wrongly is not also reported as missing: it is set, for the rules between settings.
        wrong = {p.split(" ", 1)[0] for p in problems}
        settings = cls(**values)  # type: ignore[arg-type]  # each value was converted to its field's type above
        problems += [c.message for c in settings._conflicts(serving=serving) if wrong.isdisjoint(c.names)]
        if problems:
            raise SettingsError(tuple(problems))
        return settings

    def _conflicts(self, *, serving: bool) -> list[_Conflict]:
        """Judge the settings against each other."""
        found: list[_Conflict] = []
        if self.fly_app_name is not None and self.gcs_bucket_name is None:
            found.append(_NO_BUCKET_ON_FLY)
        half_oidc = (self.oidc_audience is None) != (self.oidc_service_account_email is None)
        if half_oidc:
            found.append(_HALF_OIDC)
        if serving and not (self.on_loopback or self.oidc or half_oidc or self.allow_unauthenticated):
            found.append(_OPEN_DOOR)
        return found

    @property
    def oidc(self) -> bool:
        """Whether push requests have to carry a token."""
        return self.oidc_audience is not None and self.oidc_service_account_email is not None

    @property
    def on_loopback(self) -> bool:
        """Whether the server can be reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _data_dir_of(env: Mapping[str, str]) -> Path:
    """Where a user's data belongs (XDG base directories: a relative XDG_DATA_HOME is to be ignored)."""
    share = env.get("XDG_DATA_HOME", "").strip()
    if share and Path(share).is_absolute():
        return Path(share) / "emailsched"
    home = env.get("HOME", "").strip()
    return Path(home) / ".local" / "share" / "emailsched" if home else _default_data_dir()


SETTINGS: Final[tuple[Setting, ...]] = rows_of(Settings)
"""Every setting, in the order of the struct: what ``from_env`` reads and what the documentation lists."""
