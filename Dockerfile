# geolulc in a container: a rootless user, versions pinned in release/constraints.txt.
#   docker build -t geolulc .                                             torch as the package index has it (CUDA on Linux)
#   docker build -t geolulc --build-arg TORCH_INDEX=… .                   torch of another index: CPU only, another CUDA
#   docker run --rm -v "$PWD":/data geolulc map SCENE.SAFE --out map.tif
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
ARG TORCH_INDEX=""
ARG EXTRAS="hub,onnx"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/geolulc
COPY release/constraints.txt ./
# apart from geolulc itself: this layer, nearly all of the image, stays when the source changes
RUN /opt/geolulc/bin/pip install -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY geolulc geolulc
COPY models models
RUN /opt/geolulc/bin/pip install -c constraints.txt ".[${EXTRAS}]"

FROM python:${PYTHON}
COPY --from=build /opt/geolulc /opt/geolulc
RUN useradd --create-home --uid 1000 geolulc && mkdir /data && chown geolulc /data
ENV PATH=/opt/geolulc/bin:$PATH PYTHONUNBUFFERED=1
USER 1000
WORKDIR /data
ENTRYPOINT ["geolulc"]
CMD ["--help"]
