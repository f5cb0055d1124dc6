# docker build -t gatepost .                              the product: a static binary, its certificates, and nothing else
# docker build -t gatepost-dev --target gatepost-dev .    everything of make dev; see docs/operations.md
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/gatepost/gatepost/cmd/internal/app.release=$VERSION" -o /out/ ./cmd/gatepost ./cmd/gatepost-dev

FROM debian:stable-slim AS gatepost-dev
# Only the binaries of Postgres are wanted, not a cluster on port 5432.
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
 && apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 65532 --create-home gatepost && install -d -o gatepost /data
COPY --from=build /out/gatepost-dev /usr/local/bin/
USER gatepost
VOLUME /data
EXPOSE 8080-8083
ENTRYPOINT ["gatepost-dev", "-host", "0.0.0.0", "-dir", "/data"]

FROM scratch AS gatepost
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/gatepost /gatepost
USER 65532:65532
ENV GATEPOST_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD ["/gatepost", "health"]
ENTRYPOINT ["/gatepost"]
CMD ["serve"]
