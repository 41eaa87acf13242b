#!/usr/bin/env bash
# Builds the image of the Dockerfile and tries it as a machine would: starts it read-only, as nobody, without capabilities;
# pushes an event over HTTP; reads the completion; lets the health check run; stops it with SIGTERM. Says how large it is.
#
#   sudo infra/image/build_and_try.sh
#
# Needs root, buildah, curl and python3, and no daemon. Without a registry the base image is made of Debian's packages
# (debootstrap). It is no part of `make test`: it installs a Debian and downloads every package.
#
#   PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm   pull this base instead of making one
#   CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt               for a network whose proxy has a certificate of its own
#   WORK=/var/tmp/image                                        keep everything here instead of a folder that is removed
#   PORT=18080                                                 where the container listens, on loopback
set -euo pipefail
cd "$(dirname "$0")/../.."

port=${PORT:-18080}
if [ -n "${WORK:-}" ]; then mkdir -p "$WORK"; work=$(realpath "$WORK"); else work=$(mktemp -d); fi
storage=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)
export BUILDAH_ISOLATION=chroot

finish() {
  [ -z "${process:-}" ] || pkill -KILL -P "$process" 2>/dev/null || true
  if [ -z "${WORK:-}" ]; then
    "${storage[@]}" rm --all >/dev/null 2>&1 || true
    rm -rf "$work"
  fi
}
trap finish EXIT

say() { printf '%s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; tail -20 "$work/log" >&2 2>/dev/null || true; exit 1; }
mb() { du -sm "$1" | cut -f1; }

# ---------------------------------------------------------------------------------------------------- the base

if [ -z "${PYTHON_IMAGE:-}" ]; then
  PYTHON_IMAGE=localhost/python:3.11-debian
  if ! "${storage[@]}" inspect --type image "$PYTHON_IMAGE" >/dev/null 2>&1; then
    say "base: Debian 12 and its Python 3.11, by debootstrap"
    rm -rf "$work/base"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/base" > "$work/base.log"
    chroot "$work/base" apt-get install --yes --no-install-recommends python3.11 python3.11-venv >> "$work/base.log"
    chroot "$work/base" apt-get clean
    rm -rf "$work/base/var/lib/apt/lists"/*
    ln -s /usr/bin/python3.11 "$work/base/usr/local/bin/python" # as the official image has it
    base=$("${storage[@]}" from scratch)
    tar --directory "$work/base" --create --file "$work/base.tar" .
    "${storage[@]}" add "$base" "$work/base.tar" / >/dev/null
    "${storage[@]}" commit --quiet "$base" "$PYTHON_IMAGE" >/dev/null
    "${storage[@]}" rm "$base" >/dev/null
    rm -rf "$work/base" "$work/base.tar"
  fi
fi

# ---------------------------------------------------------------------------------------------------- the image

trust=()
if [ -n "${CA_BUNDLE:-}" ]; then
  printf '[global]\ncert = /run/ca.pem\n' > "$work/pip.conf"
  trust=(--volume "$CA_BUNDLE:/run/ca.pem:ro" --volume "$work/pip.conf:/etc/pip.conf:ro")
fi
say "build: on $PYTHON_IMAGE"
"${storage[@]}" build --format docker --network host --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" "${trust[@]}" \
  --tag localhost/emailsched:try . > "$work/log" 2>&1 || fail "the build"
grep -E '^sqlite3_rsync|^[0-9]{4}-[0-9]{2}-[0-9]{2} .*[0-9a-f]{40}' "$work/log" | head -1 | sed 's/^/sqlite3_rsync in the build: /'
image=$("${storage[@]}" from localhost/emailsched:try)
root=$("${storage[@]}" mount "$image")
"${storage[@]}" inspect --type image localhost/emailsched:try > "$work/image.json"

say "size: $(mb "$root") MB, of which $(mb "$root/venv") MB are the program and its packages"
for tool in gcc cc g++ make pip pip3; do
  [ -z "$(find "$root/venv/bin" "$root/usr/bin" "$root/usr/local/bin" -name "$tool" -print -quit)" ] || fail "$tool is in the image"
done
for package in pandas polars pip setuptools; do
  [ ! -e "$root/venv/lib/python3.11/site-packages/$package" ] || fail "$package is in the image"
done
say "no compiler, no installer, no pandas"

# ---------------------------------------------------------------------------------------------------- a machine

rm -rf "$work/data"
mkdir -p "$work/data"
chown 10001:10001 "$work/data" # what Fly does with a volume: it belongs to the image's user
# What the image says of itself: user, environment, command, health check.
python3 - "$work/image.json" "$port" > "$work/image.sh" <<'PY'
import json, shlex, sys
config = json.load(open(sys.argv[1]))
oci, docker = config["OCIv1"]["config"], config["Docker"]["config"]
user, group = map(int, oci["User"].split(":"))
assert user > 1000, "the image runs as somebody"
assert oci["StopSignal"] == "SIGTERM"
environment = [*oci["Env"], f"PORT={sys.argv[2]}", "HOST=127.0.0.1", "METRICS_PORT=0"]
for name, words in {
    "as=": ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
            "--inh-caps=-all", "env", "--ignore-environment", *environment],
    "command=": oci["Cmd"],
    "health=": docker["Healthcheck"]["Test"][1:],
}.items():
    print(f"{name}({shlex.join(words)})")
PY
as=() command=() health=()
# shellcheck source=/dev/null
. "$work/image.sh"

# Namespaces of its own, as a container has: nothing can be written but /data and what is in memory, and it is process 1.
start() {
  mount --bind "$root" "$root"
  mount -o remount,bind,ro "$root"
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
  mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
  mkdir -m 1777 "$root/dev/shm"
  for device in null zero urandom random; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
  mount --bind "$work/data" "$root/data"
  exec chroot "$root" "$@"
}
export -f start
export root work
url=http://127.0.0.1:$port
unshare --mount --pid --ipc --uts --fork --propagation private bash -c 'start "$@"' start \
  env --chdir=/data "${as[@]}" "${command[@]}" > "$work/log" 2>&1 &
process=$!
for _ in $(seq 100); do
  [ "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" = 200 ] && break
  kill -0 "$process" 2>/dev/null || fail "the container ended"
  sleep 0.2
done
first=$(pgrep -P "$process")
say "ready: $(curl -s "$url/readyz" -o /dev/null -w '%{http_code}')"

inside() { nsenter --target "$first" --mount --pid --root --wd "${as[@]}" "$@"; }
inside python -c 'import pathlib; pathlib.Path("/venv/x").touch()' 2>/dev/null && fail "the root file system can be written"
say "the root file system is read-only, $(inside python -c 'import os; print("uid", os.getuid())')"

# An org with contacts, in the embedded bucket of the container, by its own programs.
inside emailsched make-org /data/acme.db --contacts 2000 --seed 1 >/dev/null
inside python -c '
from infra.local_bucket import LocalBucket
LocalBucket("/data/bucket").upload("org-data/acme.db", "/data/acme.db", if_generation_match=0, metadata={})'

push() {
  curl -s -o "$work/answer" -w '%{http_code}' "$url/" -H 'content-type: application/json' \
    -d '{"message":{"messageId":"'"$1"'","data":"e30=","attributes":{"org_id":"acme"}},"subscription":"projects/p/subscriptions/s"}'
}
[ "$(push 1)" = 204 ] || fail "the push was answered with $(cat "$work/answer")"
python3 - "$work/data/bus/events.jsonl" <<'PY'
import json, sys
[event] = [json.loads(line) for line in open(sys.argv[1])]
text = json.dumps(event)
assert "run.completed" in text, text
data = event.get("data", event)
data = json.loads(data) if isinstance(data, str) else data
counts = data["counts"]
assert counts["contacts"] == 2000 and counts["emails_scheduled"] > 0, counts
print(f"pushed: 204; completed: {counts['emails_scheduled']} mails planned for {counts['contacts']} contacts")
PY

inside "${health[@]}" || fail "the health check"
say "the health check passes"

# A message that is being worked on when the machine is told to stop is carried to its end.
push 2 > "$work/late" &
late=$!
sleep 0.1
kill -TERM "$first"
code=0
wait "$process" || code=$?
wait "$late" || true
[ "$code" = 0 ] || fail "SIGTERM ended it with $code"
grep -q '"event": *"drained"' "$work/log" || fail "it did not drain"
say "SIGTERM: drained, exit code 0; the message under way was answered with $(cat "$work/late")"
say "DONE"
