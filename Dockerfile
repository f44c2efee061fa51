# The service: `docker build .`, or `buildah bud .` with no daemon. The demo: the same with `--target demo`.
# A release names its bases by digest: --build-arg PYTHON_IMAGE=…@sha256:… --build-arg NODE_IMAGE=…@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG NODE_IMAGE=node:22-bookworm-slim

# The pages for browsers. Node and npm stay here.
FROM ${NODE_IMAGE} AS pages
WORKDIR /web
COPY web/package.json web/package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
COPY web ./
RUN PAGES_OUT=/pages npm run --silent build

# /app: the locked dependencies and the package, compiled. pip, uv and the sources stay here.
FROM ${PYTHON_IMAGE} AS everything
ARG UV_VERSION=0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON=python3 UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/app
RUN python3 -m pip install --no-cache-dir --root-user-action=ignore --quiet "uv==${UV_VERSION}"
WORKDIR /source
COPY pyproject.toml uv.lock ./
RUN uv sync --quiet --locked --no-dev --no-install-project
COPY README.md hatch_build.py ./
COPY proto proto
COPY src src
COPY --from=pages /pages src/transfer_gateway/api/pages
RUN uv sync --quiet --locked --no-dev --no-editable

FROM everything AS service-only
RUN rm -r /app/bin/transfer-emulator /app/lib/python3.*/site-packages/transfer_emulator

# What both images have around /app. No pip: there is nothing to install, and nothing to install it with.
FROM ${PYTHON_IMAGE} AS around
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="transfer-gateway" \
      org.opencontainers.image.description="What AWS Transfer Family's managed workflows are doing, in every account" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/ensurepip /usr/local/lib/python3.*/*-packages/*
ENV PATH=/app/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# A number: Kubernetes' runAsNonRoot knows no names.
USER 10001:10001
EXPOSE 8080 50051
ENTRYPOINT ["transfer-gateway"]

# Asks nobody who they are, and so listens on loopback: run it in the host's network, or forward its ports.
FROM around AS demo
COPY --from=everything /app /app
CMD ["demo"]

# No HEALTHCHECK: whatever runs it asks /livez and /readyz.
FROM around AS service
COPY --from=service-only /app /app
ENV TRANSFER_GATEWAY_HTTP_HOST=0.0.0.0 TRANSFER_GATEWAY_GRPC_HOST=0.0.0.0
CMD ["serve"]
