"""One table of event types; schemas, samples and AsyncAPI are held to it."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

from events.encode import encode_data
from events.http_binding import STRUCTURED
from events.schema_files import schema_files, schema_of
from events.types import EVENT_TYPES, INCOMING, OUTGOING, Event, EventType, FleetEvent
from events.wire import decode

EVENTS = Path(__file__).parents[2] / "events"
SAMPLES = sorted((EVENTS / "samples").glob("*/*.json"))
ROWS = list(EVENT_TYPES.values())


def sample_name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def validator(row: EventType) -> Draft202012Validator:
    return Draft202012Validator(schema_of(row), format_checker=FormatChecker())


def test_schema_files_are_the_generated_ones_and_no_others() -> None:
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in (EVENTS / "schemas").iterdir()}
    assert on_disk == dict(schema_files()), "run: python -m events.schema_files events/schemas"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_schemas_are_valid_json_schema_2020_12(row: EventType) -> None:
    Draft202012Validator.check_schema(schema_of(row))


def test_every_payload_belongs_to_one_type_and_every_type_has_a_direction() -> None:
    assert len({row.payload for row in ROWS}) == len(ROWS)
    assert dict(EVENT_TYPES) == {**INCOMING, **OUTGOING}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_type_has_two_samples(row: EventType) -> None:
    assert sum(path.parent.name == row.name for path in SAMPLES) >= 2


@pytest.mark.parametrize("path", SAMPLES, ids=sample_name)
def test_samples_are_of_the_type_of_their_directory_and_fit_its_schema(path: Path) -> None:
    sample = json.loads(path.read_bytes())
    assert sample["type"] == path.parent.name
    assert list(validator(EVENT_TYPES[sample["type"]]).iter_errors(sample["data"])) == []


@pytest.mark.parametrize("path", SAMPLES, ids=sample_name)
def test_samples_read_back_as_the_payload_and_write_the_same_data(path: Path) -> None:
    sample = json.loads(path.read_bytes())
    row = EVENT_TYPES[sample["type"]]
    payload = msgspec.convert(sample["data"], type=row.payload, str_keys=True)
    written = json.loads(encode_data(payload))
    assert {name: written[name] for name in sample["data"]} == sample["data"]


@pytest.mark.parametrize("path", SAMPLES, ids=sample_name)
def test_samples_pass_the_decoder(path: Path) -> None:
    row = EVENT_TYPES[path.parent.name]
    if "subject" not in json.loads(path.read_bytes()) and row.is_about_one_org:
        pytest.skip("the rejection of a message without an org")
    (decoded,) = decode({"content-type": STRUCTURED}, path.read_bytes(), types=EVENT_TYPES)
    assert isinstance(decoded, Event if row.is_about_one_org else FleetEvent)


@pytest.mark.parametrize(
    "data",
    [{"as_of": "2026-1-2"}, {"as_of": "2026-02-30"}, {"force": "yes"}, {"asof": None}, {"as_of": 5}, []],
    ids=json.dumps,
)
def test_schema_and_decoder_refuse_the_same_run_requests(data: object) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": ROWS[0].name, "subject": "org/a", "data": data}
    (decoded,) = decode({"content-type": STRUCTURED}, json.dumps(event).encode())
    assert not isinstance(decoded, Event)
    assert not validator(ROWS[0]).is_valid(data)


@pytest.mark.parametrize("org", ["", "-a", "a/b", "a\n", "a" * 65, "ä"])
def test_schema_refuses_what_is_no_org_id(org: str) -> None:
    row = EVENT_TYPES["com.emailscheduler.run.failed.v1"]
    sample = json.loads((EVENTS / "samples" / row.name / "bad-config.json").read_bytes())["data"]
    assert validator(row).is_valid(sample)
    assert not validator(row).is_valid({**sample, "org_id": org})


def test_a_volume_is_given_per_date() -> None:
    row = EVENT_TYPES["com.emailscheduler.run.completed.v1"]
    sample = json.loads((EVENTS / "samples" / row.name / "changed.json").read_bytes())["data"]
    assert not validator(row).is_valid({**sample, "volume_by_day": {"tomorrow": {}}})


class TestAsyncApi:
    """The document is written by hand; these hold it to the table."""

    document: Any = yaml.safe_load((EVENTS / "asyncapi.yaml").read_text(encoding="utf-8"))

    def resolve(self, reference: dict[str, str]) -> Any:
        node = self.document
        path = reference["$ref"]
        assert path.startswith("#/")
        for part in path.removeprefix("#/").split("/"):
            node = node[part]
        return self.resolve(node) if set(node) == {"$ref"} else node

    def test_it_is_asyncapi_3(self) -> None:
        assert self.document["asyncapi"] == "3.0.0"

    def test_messages_are_the_types_of_the_table(self) -> None:
        messages = self.document["components"]["messages"].values()
        told = {message["name"]: message["summary"] for message in messages}
        assert told == {row.name: row.description for row in ROWS}

    def test_payloads_are_the_schema_files(self) -> None:
        for message in self.document["components"]["messages"].values():
            assert message["payload"]["schema"] == {"$ref": f"schemas/{message['name']}.json"}
            assert (EVENTS / message["payload"]["schema"]["$ref"]).is_file()

    def test_we_receive_what_comes_in_and_send_what_goes_out(self) -> None:
        carried: dict[str, set[str]] = {}
        for operation in self.document["operations"].values():
            channel = self.resolve(operation["channel"])
            names = {self.resolve(message)["name"] for message in operation["messages"]}
            assert names == {self.resolve(message)["name"] for message in channel["messages"].values()}
            carried[operation["action"]] = names
        assert carried == {"receive": set(INCOMING), "send": set(OUTGOING)}

    def test_every_reference_inside_the_document_resolves(self) -> None:
        waiting: list[Any] = [self.document]
        while waiting:
            node = waiting.pop()
            if isinstance(node, dict) and str(node.get("$ref", "")).startswith("#/"):
                assert self.resolve(node)
            elif isinstance(node, dict):
                waiting.extend(node.values())
            elif isinstance(node, list):
                waiting.extend(node)
