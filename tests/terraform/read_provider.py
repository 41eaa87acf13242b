"""What the Google provider takes, read from the bindings that were generated from its own schema.

Terraform checks names itself, but only with the provider's binary, which tests do not download. So a small part of the
schema is kept beside this file, in ``provider.json``. To make it anew, for another version or another resource:

    npm pack @cdktf/provider-google@16.12.1
    python -m tests.terraform.read_provider cdktf-provider-google-16.12.1.tgz
"""

import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("provider.json")

RESOURCES = (
    "cloud_scheduler_job",
    "kms_crypto_key_iam_member",
    "logging_metric",
    "monitoring_alert_policy",
    "monitoring_dashboard",
    "monitoring_notification_channel",
    "project_service",
    "pubsub_subscription",
    "pubsub_subscription_iam_member",
    "pubsub_topic",
    "pubsub_topic_iam_member",
    "service_account",
    "service_account_iam_member",
    "storage_bucket",
    "storage_bucket_iam_member",
)
DATA = ("project", "storage_project_service_account")

Block = dict[str, Any]
"""A name, and what stands for it: ``"required"``, ``"optional"``, ``"computed"``, or another block."""


def read_kind(javascript: str, declarations: str) -> Block:
    """Return the arguments, nested blocks and computed attributes of one resource or data source."""
    writers = dict(
        re.findall(r"function (\w+)ToTerraform\(struct\) \{.*?return \{(\n.*?\n    )?\};", javascript, re.DOTALL)
    )
    own = re.search(r"synthesizeAttributes\(\) \{\s*return \{(.*?)\n        \};", javascript, re.DOTALL)
    assert own is not None
    needed = {
        name: set(re.findall(r"readonly (\w+):", body))
        for name, body in re.findall(r"export interface (\w+)[^{]*\{(.*?)\n\}", declarations, re.DOTALL)
    }

    def block(body: str, interface: str) -> Block:
        found: Block = {}
        for name, value in re.findall(r"^\s+(\w+): (.*),$", body, re.MULTILINE):
            nested = re.search(r"(?<![\w.])(\w+)ToTerraform\b", re.sub(r"cdktf\.\w+ToTerraform", "", value))
            field = re.search(r"(?:struct\.|this\._)(\w+)", value)
            assert field is not None
            if nested is not None:
                kind = nested[1]
                found[name] = block(writers[kind], kind[0].upper() + kind[1:])
            else:
                found[name] = "required" if field[1] in needed.get(interface, ()) else "optional"
        return found

    [config] = [
        name for name, rest in re.findall(r"export interface (\w+) extends (\S+)", declarations) if "Meta" in rest
    ]
    found = block(own[1], config)
    resource = javascript[javascript.rindex("extends cdktf.Terraform") :]
    for computed in re.findall(r"get\w+Attribute\('(\w+)'\)", resource):
        found.setdefault(computed, "computed")
    return found


def main(arguments: list[str]) -> int:
    """Write the schema from an npm package; returns the exit code."""
    with tarfile.open(arguments[0]) as package:

        def text(name: str) -> str:
            file = package.extractfile(f"package/lib/{name}")
            assert file is not None
            return file.read().decode()

        def kind(folder: str) -> Block:
            return read_kind(text(f"{folder}/index.js"), text(f"{folder}/index.d.ts"))

        version = re.search(r"providers/hashicorp/google/([\d.]+)/docs", text("pubsub-topic/index.d.ts"))
        assert version is not None
        schema = {
            "provider": f"hashicorp/google {version[1]}",
            "resource": {f"google_{name}": kind(name.replace("_", "-")) for name in RESOURCES},
            "data": {f"google_{name}": kind(f"data-google-{name.replace('_', '-')}") for name in DATA},
        }
    SCHEMA.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
