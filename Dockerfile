# The image holds the binary and the C library, nothing else: no shell, no package manager, no root.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release --bin tollgate
RUN mkdir links && ln -s /usr/local/bin/tollgate links/ratelimit

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/tollgate /usr/local/bin/tollgate
# Deployments of envoyproxy/ratelimit start it under this name, without arguments.
COPY --from=build /build/links/ /bin/
# By number, or `runAsNonRoot` could not tell that this is not root.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]
