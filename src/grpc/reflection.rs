//! What reflection shows: every service that is here, in files under their official names.
//!
//! The libraries compile health and reflection under names of their own. Tools that know the
//! official files would take those for others that define the same symbols.

use prost::{DecodeError, Message as _};
use prost_types::FileDescriptorSet;
use tonic_reflection::server::{Builder, Error};

use crate::pb;

/// Official name by package.
const OFFICIAL_NAMES: [(&str, &str); 3] = [
    ("grpc.health.v1", "grpc/health/v1/health.proto"),
    ("grpc.reflection.v1", "grpc/reflection/v1/reflection.proto"),
    ("grpc.reflection.v1alpha", "grpc/reflection/v1alpha/reflection.proto"),
];

/// A builder of either version of reflection; both are listed in both.
pub(super) fn described() -> Result<Builder<'static>, Error> {
    let sets = [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut builder = Builder::configure()
        .include_reflection_service(false)
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS);
    for set in sets {
        builder = builder.register_file_descriptor_set(officially_named(set)?);
    }
    Ok(builder)
}

fn officially_named(encoded: &[u8]) -> Result<FileDescriptorSet, DecodeError> {
    let mut set = FileDescriptorSet::decode(encoded)?;
    let mut renamed = Vec::new();
    for file in &mut set.file {
        let official = OFFICIAL_NAMES.iter().find(|(package, _)| *package == file.package());
        if let Some((_, official)) = official {
            renamed.push((file.name().to_owned(), *official));
            file.name = Some((*official).to_owned());
        }
    }
    for dependency in set.file.iter_mut().flat_map(|file| &mut file.dependency) {
        if let Some((_, official)) = renamed.iter().find(|(name, _)| name == dependency) {
            *dependency = (*official).to_owned();
        }
    }
    Ok(set)
}
