# The image holds the binary and the C library, nothing else: no shell, no package manager, no root.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release --bin tollgate

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/tollgate /usr/local/bin/tollgate
# By number, or `runAsNonRoot` could not tell that this is not root.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]
