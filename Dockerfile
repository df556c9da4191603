# Four images of one distribution: docker build --target operator|trainer|server|router .
#
# Packages come from the locks in requirements/: pip refuses a file whose hash is not there. DeepSpeed, the one that is built, is checked first.
# The base is pinned by its digest, which a release looks up and passes (docs/images.md):
#   --build-arg PYTHON_IMAGE=docker.io/library/python:3.12.12-slim-bookworm@sha256:...
# Packages are installed by a pip that is mounted from another stage, so no image holds pip or a compiler, and trainer and server
# share the layer with torch: a node that runs both pulls it once.
ARG PYTHON_IMAGE=docker.io/library/python:3.12.12-slim-bookworm

# What installs: pip, setuptools and the locks.
FROM ${PYTHON_IMAGE} AS tools
ARG PYTHON_IMAGE
ARG BASE_WITHOUT_DIGEST=refused
RUN case "${PYTHON_IMAGE}:${BASE_WITHOUT_DIGEST}" in \
      *@sha256:*:*|*:allowed) ;; \
      *) echo "PYTHON_IMAGE=${PYTHON_IMAGE} has no digest: add @sha256:... (docs/images.md), or pass --build-arg BASE_WITHOUT_DIGEST=allowed for a build that is not released" >&2; \
         exit 1 ;; \
    esac
COPY requirements /build/
RUN python -m venv /opt/tools \
 && /opt/tools/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement /build/tools.txt

# The wheel has the same bytes wherever it is built: modes and dates of the tree do not enter.
FROM tools AS wheel
ARG SOURCE_DATE_EPOCH=315532800
WORKDIR /source
COPY . .
RUN chmod -R u=rwX,go=rX . \
 && SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH}" /opt/tools/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels .

# What all images have: a virtual environment, still empty, and the user that the operator gives its pods.
FROM ${PYTHON_IMAGE} AS base
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.base.name="${PYTHON_IMAGE}"
RUN python -m venv --without-pip /opt/venv \
 && groupadd --gid 1000 tuneloop \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /home/tuneloop --shell /usr/sbin/nologin tuneloop \
 && install --directory --owner 1000 --group 1000 /home/tuneloop
ENV PATH=/opt/venv/bin:$PATH HOME=/home/tuneloop PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /home/tuneloop
STOPSIGNAL SIGTERM

FROM base AS operator
# Bytecode is made here, since a process cannot keep it on a read-only root; but not for the Kubernetes client's generated models and
# calls, which are two thirds of the image and are never imported.
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
      --require-hashes --only-binary :all: --requirement /build/operator.txt \
 && /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps /wheels/*.whl \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
 && python -m compileall -q -x 'kubernetes/(aio/)?client/(models|api)/' /opt/venv/lib
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Tuneloop operator" \
      org.opencontainers.image.description="Runs FineTuneJobs and ModelDeployments on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 1000:1000
ENTRYPOINT ["python", "-m", "tuneloop_operator"]

# Envoy and the small program beside it, which needs the standard library alone.
FROM base AS router
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
      --require-hashes --only-binary :all: --requirement /build/router.txt \
 && /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps /wheels/*.whl \
 && python -m compileall -q /opt/venv/lib/python3.*/site-packages/tuneloop_router
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Tuneloop router" \
      org.opencontainers.image.description="Divides requests between the revisions of a model, with Envoy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 1000:1000
ENTRYPOINT ["python", "-m", "tuneloop_router"]
CMD ["/etc/tuneloop/router.json"]

# The gigabytes that trainer and server share.
FROM base AS torch
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
      --require-hashes --only-binary :all: --requirement /build/torch.txt

FROM torch AS server
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
      --require-hashes --only-binary :all: --requirement /build/server.txt \
 && /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps /wheels/*.whl
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Tuneloop server" \
      org.opencontainers.image.description="Serves one fine-tuned model over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 1000:1000
ENTRYPOINT ["python", "-m", "tuneloop_server"]
CMD ["/etc/tuneloop/server.json"]

FROM torch AS libraries
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
      --require-hashes --only-binary :all: --requirement /build/trainer.txt

# DeepSpeed comes as source and asks the installed torch what it can do. No operation is compiled ahead: that needs CUDA's compiler.
FROM libraries AS deepspeed
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
      --require-hashes --only-binary :all: --requirement /build/tools.txt \
 && DS_BUILD_OPS=0 /opt/tools/bin/pip --python /opt/venv/bin/python wheel --no-cache-dir --no-build-isolation --no-deps \
      --require-hashes --wheel-dir /wheels --requirement /build/deepspeed.txt

FROM libraries AS trainer
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,from=deepspeed,source=/wheels,target=/deepspeed \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps /deepspeed/*.whl /wheels/*.whl
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Tuneloop trainer" \
      org.opencontainers.image.description="Prepares data, trains with DeepSpeed and exports the artifact" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 1000:1000
ENTRYPOINT ["python", "-m", "tuneloop_trainer"]
