# Two stages: one that installs, one that has nothing but Python and the result. infra/image/build_and_try.sh builds it
# and starts it; what it says about the size is in docs/deployment.md.

# The tag names Debian's release too, so that nothing changes under it but security updates. To fix the image byte for
# byte: --build-arg PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN ["python", "-m", "venv", "/venv"]
WORKDIR /src
# The lock first: its layer stays as long as no dependency changes.
COPY requirements.lock ./
RUN ["/venv/bin/python", "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "-r", "requirements.lock"]
COPY pyproject.toml README.md ./
COPY events/ events/
COPY core/ core/
COPY infra/ infra/
COPY handlers/ handlers/
RUN ["/venv/bin/python", "-m", "pip", "install", "--no-deps", "."]
# The wheel's sqlite3_rsync must run on this image's C library: better to learn that here than in a run.
RUN ["/venv/bin/python", "-c", "import apsw.sqlite_extra as extra, subprocess; subprocess.run([extra.path('sqlite3_rsync'), '--version'], check=True)"]
# What installs is not needed any more, and whoever gets in should not find it.
RUN ["/venv/bin/python", "-m", "pip", "uninstall", "--yes", "--quiet", "setuptools", "pip"]
# Written now, since the running container may write nowhere but to /data.
RUN ["python", "-m", "compileall", "-q", "/venv/lib"]

FROM ${PYTHON_IMAGE} AS final
RUN groupadd --gid 10001 emailsched \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --no-log-init --shell /usr/sbin/nologin emailsched \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8080 \
    METRICS_PORT=9090 \
    DATA_DIR=/data
# Mirrors and working copies: a disposable cache. Runs with --read-only and --tmpfs /tmp.
VOLUME ["/data"]
WORKDIR /data
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=3)"]
# exec form: SIGTERM has to reach the server, and no shell stands between.
CMD ["emailsched", "serve"]
