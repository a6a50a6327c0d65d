# Two stages: a static binary is built, and nothing but that binary, the certificate authorities and an empty data
# folder goes into the image. The build needs BuildKit (the default of every current engine) for its cache mounts.
ARG GO_IMAGE=golang:1.26

FROM ${GO_IMAGE} AS build
WORKDIR /src

# The dependencies first: this layer is built again only when go.mod or go.sum changes.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download

# .dockerignore lists what may come in: the sources of the service, no tests, no .env, no data.
COPY . .
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath \
      -ldflags "-s -w -X github.com/latchkey-api/latchkey/cli.version=${VERSION}" \
      -o /out/latchkey . \
 && mkdir /out/data

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="latchkey" \
      org.opencontainers.image.description="An HTTP API whose callers prove their API key with a short-lived JWT" \
      org.opencontainers.image.source="https://github.com/latchkey-api/latchkey" \
      org.opencontainers.image.version="${VERSION}"

COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/latchkey /latchkey
# A new volume takes the owner of the folder it is mounted on, so this user can write it. A bind mount keeps its own.
COPY --from=build --chown=65532:65532 /out/data /data

ENV APP_ENV=production \
    DATABASE_URL=sqlite:/data/latchkey.db
USER 65532:65532
VOLUME /data
# 8000 serves the API; 9464 serves /metrics, /livez and /readyz and is for the inside network only.
EXPOSE 8000 9464
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["/latchkey", "health"]
ENTRYPOINT ["/latchkey"]
