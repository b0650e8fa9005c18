//! Compiles `proto/` without a system protoc.
//!
//! Two forms come out of one source: the official one for reflection and JSON, and one for decoding
//! in which everything a caller fills in freely is bytes (see `proto/README.md`).

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic_build::manual;

const FILES: [&str; 4] = [
    "envoy/config/core/v3/base.proto",
    "envoy/extensions/common/ratelimit/v3/ratelimit.proto",
    "envoy/service/ratelimit/v3/rls.proto",
    "envoy/type/v3/ratelimit_unit.proto",
];

/// String fields that are decoded as bytes: package, message, field.
const BYTE_FIELDS: [(&str, &str, &str); 3] = [
    ("envoy.service.ratelimit.v3", "RateLimitRequest", "domain"),
    ("envoy.extensions.common.ratelimit.v3", "Entry", "key"),
    ("envoy.extensions.common.ratelimit.v3", "Entry", "value"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");

    let mut official = protox::compile(FILES, ["proto"])?;
    for file in &mut official.file {
        file.source_code_info = None;
    }
    let out_dir = out_dir()?;
    fs::write(out_dir.join("descriptors.bin"), encode(&official))?;

    let mut decoding = with_byte_fields(official)?;
    for file in &mut decoding.file {
        file.service.clear();
    }
    tonic_prost_build::configure().bytes(".").compile_fds(decoding)?;
    manual::Builder::new().compile(&[rate_limit_service()]);
    Ok(())
}

/// Declared by hand, so that the codec of the one hot method is ours to choose.
fn rate_limit_service() -> manual::Service {
    let should_rate_limit = manual::Method::builder()
        .name("should_rate_limit")
        .route_name("ShouldRateLimit")
        .input_type("super::RateLimitRequest")
        .output_type("super::RateLimitResponse")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    manual::Service::builder()
        .package("envoy.service.ratelimit.v3")
        .name("RateLimitService")
        .method(should_rate_limit)
        .build()
}

#[expect(clippy::disallowed_methods, reason = "cargo talks to build scripts this way")]
fn out_dir() -> Result<PathBuf, std::env::VarError> {
    std::env::var("OUT_DIR").map(PathBuf::from)
}

fn encode(set: &FileDescriptorSet) -> Vec<u8> {
    use protox::prost::Message as _;
    set.encode_to_vec()
}

fn with_byte_fields(mut set: FileDescriptorSet) -> Result<FileDescriptorSet, String> {
    for (package, message, field) in BYTE_FIELDS {
        let turned = set
            .file
            .iter_mut()
            .filter(|file| file.package() == package)
            .map(|file| turn_to_bytes(&mut file.message_type, message, field))
            .sum::<usize>();
        if turned != 1 {
            return Err(format!(
                "{package}: `{message}.{field}` is there {turned} times, not once"
            ));
        }
    }
    Ok(set)
}

/// Turns the field in every message of this name, nested ones included; returns how many.
fn turn_to_bytes(messages: &mut [DescriptorProto], message: &str, field: &str) -> usize {
    let mut turned = 0;
    for candidate in messages {
        if candidate.name() == message {
            for descriptor in candidate.field.iter_mut().filter(|found| found.name() == field) {
                descriptor.set_type(Type::Bytes);
                turned += 1;
            }
        }
        turned += turn_to_bytes(&mut candidate.nested_type, message, field);
    }
    turned
}
