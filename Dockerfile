# Every foreign part stands on one of these lines, by version and by the digest of its index of architectures; they
# are what Renovate and Dependabot bump. Packages of Debian follow the digest of the base.
FROM ghcr.io/fluxcd/flux-cli:v2.9.5@sha256:704d5529535570a495249b643159c93a9aa88ffca07813c974a54b7ba6edbd86 AS flux
FROM registry.k8s.io/kubectl:v1.36.4@sha256:b8d523e7b8cdc5e3caa0f8891ee9f504abf137dec786e6e0ddd33e4f272c2f13 AS kubectl
FROM registry.k8s.io/kustomize/kustomize:v5.8.1@sha256:899fcd3bc898160e62bcaf82932b0cb29ba38d16272353db2e7acbba82129429 AS kustomize
FROM ghcr.io/getsops/sops:v3.13.3@sha256:857f5a151ac0b2bfc55c1e4e5581d66fb8e268e4d106b38e74191f3bac9d58ea AS sops
FROM docker:28.5.2-cli@sha256:625d9431a9f54c5a2bc90f24f0e1c3d55b1349fd857dd85035f98c2c9acbdd4d AS docker
FROM python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285 AS python

FROM python AS libraries
COPY requirements-image.txt /src/
# ansible-test is for those who write modules, and sf uses no asynchronous client.
RUN python -m venv --without-pip /opt/sf \
 && pip --python /opt/sf/bin/python install --no-cache-dir --require-hashes --only-binary=:all: -r /src/requirements-image.txt \
 && rm -r /opt/sf/lib/python3*/site-packages/ansible_test /opt/sf/lib/python3*/site-packages/kubernetes/aio

FROM python AS wheel
COPY requirements-build.txt /src/
RUN python -m venv --without-pip /opt/build \
 && pip --python /opt/build/bin/python install --no-cache-dir --require-hashes --only-binary=:all: -r /src/requirements-build.txt
COPY pyproject.toml README.md LICENSE /src/
COPY sf /src/sf
RUN pip --python /opt/build/bin/python wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir /wheels /src

FROM python
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends age git openssh-client \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
 # ssh refuses to work for a user without a name; these are the usual numbers of people and of runners.
 && useradd --uid 1000 --no-create-home --home-dir /tmp sf \
 && useradd --uid 1001 --no-create-home --home-dir /tmp runner
COPY --from=flux /usr/local/bin/flux /usr/local/bin/
COPY --from=kubectl /bin/kubectl /usr/local/bin/
COPY --from=kustomize /app/kustomize /usr/local/bin/
COPY --from=sops /usr/local/bin/sops /usr/local/bin/
COPY --from=docker /usr/local/bin/docker /usr/local/bin/
COPY --from=docker /usr/local/libexec/docker/cli-plugins/docker-compose /usr/local/libexec/docker/cli-plugins/
COPY --from=libraries /opt/sf /opt/sf
# The base has no compiled standard library: what sf loads is compiled once, here, and not at every start.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip --python /opt/sf/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && /opt/sf/bin/python -c "import sf.cli, sf.session, sf.config, sf.http, sf.report.reading, docker, kubernetes.client"
COPY entrypoint.py /usr/local/bin/sf-entrypoint
RUN ln -s sf-entrypoint /usr/local/bin/sf-cleanup

ENV PATH=/opt/sf/bin:$PATH LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
# Where a laptop mounts its clone; runners name a folder of their own.
WORKDIR /work
# No USER: GitHub requires root, as the workspace belongs to the user of the runner. Any user works: docker run --user.
ENTRYPOINT ["/usr/local/bin/sf-entrypoint"]

ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=https://example.invalid/sf
LABEL org.opencontainers.image.title="sf" \
      org.opencontainers.image.description="Plans and reconciles Flux and Docker Compose repositories in CI" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.version="$VERSION"
