# Three images of one distribution: docker build --target operator|trainer|server .
#
# Every version comes from constraints.txt. The base is pinned by an exact tag; a release passes the digest that it has checked:
#   --build-arg PYTHON_IMAGE=docker.io/library/python:3.12.12-slim-bookworm@sha256:...
# Packages are installed by a pip that is mounted from another stage, so no image holds pip or a compiler, and trainer and server
# share the layer with torch: a node that runs both pulls it once.
ARG PYTHON_IMAGE=docker.io/library/python:3.12.12-slim-bookworm

# What installs: pip (as it comes with the base), setuptools, and one list of requirements for each program.
FROM ${PYTHON_IMAGE} AS tools
COPY constraints.txt pyproject.toml /build/
RUN python -m venv /opt/tools \
 && /opt/tools/bin/pip install --no-cache-dir --constraint /build/constraints.txt setuptools wheel
RUN ["python", "-c", "\
import pathlib, tomllib; \
project = tomllib.loads(pathlib.Path('/build/pyproject.toml').read_text())['project']; \
extras = project['optional-dependencies']; \
[pathlib.Path(f'/build/{name}.txt').write_text('\\n'.join(project['dependencies'] + extras[name])) \
 for name in ('operator', 'trainer', 'server')]"]

FROM tools AS wheel
WORKDIR /source
COPY . .
RUN /opt/tools/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels .

# What all images have: a virtual environment, still empty, and the user that the operator gives its pods.
FROM ${PYTHON_IMAGE} AS base
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
      --constraint /build/constraints.txt --requirement /build/operator.txt \
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

# The gigabytes that trainer and server share.
FROM base AS torch
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
      --constraint /build/constraints.txt torch transformers safetensors

FROM torch AS server
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
      --constraint /build/constraints.txt --requirement /build/server.txt \
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

# DeepSpeed comes as source and asks the installed torch what it can do. No operation is compiled ahead: that needs CUDA's compiler.
FROM torch AS deepspeed
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
      --constraint /build/constraints.txt setuptools wheel packaging psutil py-cpuinfo hjson msgpack einops ninja \
 && DS_BUILD_OPS=0 /opt/tools/bin/pip --python /opt/venv/bin/python wheel --no-cache-dir --no-build-isolation --no-deps \
      --constraint /build/constraints.txt --wheel-dir /wheels deepspeed

FROM torch AS trainer
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,from=tools,source=/build,target=/build \
    --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,from=deepspeed,source=/wheels,target=/deepspeed \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps /deepspeed/*.whl \
 && /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir \
      --constraint /build/constraints.txt --requirement /build/trainer.txt \
 && /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps /wheels/*.whl
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
