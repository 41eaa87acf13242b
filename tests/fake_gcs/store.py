"""Objects with generations, versions and preconditions: what a bucket is, without HTTP."""

import base64
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import google_crc32c

Json = dict[str, object]


class ApiError(Exception):
    """An error as the JSON API words it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def body(self) -> Json:
        detail: Json = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.status == 412:
            detail |= {"locationType": "header", "location": "If-Match"}
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}


def precondition_failed() -> ApiError:
    return ApiError(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


def no_bucket() -> ApiError:
    return ApiError(404, "notFound", "The specified bucket does not exist.")


def crc32c(content: bytes) -> str:
    return base64.b64encode(int(google_crc32c.value(content)).to_bytes(4, "big")).decode()


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


@dataclass(frozen=True)
class Version:
    name: str
    generation: int
    content: bytes
    created: str
    properties: Json
    """What the writer said: contentType, metadata, contentEncoding ..."""
    deleted: str | None = None

    def resource(self, bucket: str) -> Json:
        resource: Json = {
            "kind": "storage#object",
            "id": f"{bucket}/{self.name}/{self.generation}",
            "bucket": bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": "1",
            "size": str(len(self.content)),
            "crc32c": crc32c(self.content),
            "md5Hash": md5(self.content),
            "timeCreated": self.created,
            "updated": self.created,
            "storageClass": "STANDARD",
            **self.properties,
        }
        return resource if self.deleted is None else {**resource, "timeDeleted": self.deleted}


@dataclass
class Store:
    """One bucket; every method is atomic."""

    bucket: str
    versioning: bool = True
    versions: dict[str, list[Version]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    last_generation: int = 1_700_000_000_000_000

    def live(self, name: str) -> Version | None:
        with self.lock:
            return next((v for v in self.versions.get(name, []) if v.deleted is None), None)

    def get(self, name: str, generation: int | None) -> Version:
        with self.lock:
            found = self.live(name)
            if generation is not None:
                found = next((v for v in self.versions.get(name, []) if v.generation == generation), None)
        if found is None:
            raise ApiError(404, "notFound", f"No such object: {self.bucket}/{name}")
        return found

    def check(self, name: str, conditions: Mapping[str, int]) -> None:
        """Judge ifGenerationMatch and ifGenerationNotMatch; 0 means "no live object"."""
        live = self.live(name)
        generation = 0 if live is None else live.generation
        if conditions.get("ifGenerationMatch", generation) != generation:
            raise precondition_failed()
        if "ifGenerationNotMatch" in conditions and conditions["ifGenerationNotMatch"] == generation:
            raise precondition_failed()

    def insert(self, name: str, content: bytes, properties: Json, conditions: Mapping[str, int]) -> Version:
        """Make a new live version; checksums that the writer named are checked first, as the real one does."""
        for key, actual in (("crc32c", crc32c(content)), ("md5Hash", md5(content))):
            if properties.get(key, actual) != actual:
                message = (
                    f'Provided {key.upper()} "{properties[key]}" doesn\'t match calculated {key.upper()} "{actual}".'
                )
                raise ApiError(400, "invalid", message)
        kept = {k: v for k, v in properties.items() if k not in ("crc32c", "md5Hash", "name", "bucket")}
        with self.lock:
            self.check(name, conditions)
            now = _now()
            self.last_generation += 1009
            self._retire(name, now)
            version = Version(name, self.last_generation, content, now, kept)
            self.versions.setdefault(name, []).append(version)
            return version

    def delete(self, name: str, generation: int | None, conditions: Mapping[str, int]) -> None:
        with self.lock:
            if generation is not None:
                version = self.get(name, generation)
                self.versions[name].remove(version)
                return
            if self.live(name) is None:
                raise ApiError(404, "notFound", f"No such object: {self.bucket}/{name}")
            self.check(name, conditions)
            self._retire(name, _now())

    def listing(self, prefix: str, *, versions: bool) -> list[Version]:
        """By name, then by generation."""
        with self.lock:
            return [
                v
                for name, all_versions in sorted(self.versions.items())
                if name.startswith(prefix)
                for v in sorted(all_versions, key=lambda v: v.generation)
                if versions or v.deleted is None
            ]

    def _retire(self, name: str, now: str) -> None:
        kept = self.versions.get(name, [])
        if not self.versioning:
            kept = [v for v in kept if v.deleted is not None]
        self.versions[name] = [v if v.deleted else replace(v, deleted=now) for v in kept]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
