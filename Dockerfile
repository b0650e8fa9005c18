# The image holds the binary, the C library and a folder for counters, nothing else: no shell, no package manager, no root.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release --bin tollgate
RUN mkdir links && ln -s /usr/local/bin/tollgate links/ratelimit
RUN mkdir --parents --mode 0700 state/tollgate

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/tollgate /usr/local/bin/tollgate
# Deployments of envoyproxy/ratelimit start it under this name, without arguments.
COPY --from=build /build/links/ /bin/
# Volumes take over whose it is, so that counters can be kept without root and beside a read-only root.
COPY --from=build --chown=65532:65532 /build/state/ /var/lib/
ENV TOLLGATE_DATA_DIR=/var/lib/tollgate
VOLUME /var/lib/tollgate
# By number, or `runAsNonRoot` could not tell that this is not root.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]
