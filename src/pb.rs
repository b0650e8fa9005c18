//! Generated protobuf types, included here and nowhere else.
//!
//! They are named only in `grpc/`, in `bench/` and in tests: core types are not wire types. What
//! callers fill in freely (domain, entry keys and values) is bytes here and `string` in
//! [`DESCRIPTORS`]; see `proto/README.md`.

/// The official form of all descriptors, imports included: an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! generated {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
pub mod envoy {
    pub mod config {
        pub mod core {
            pub mod v3 {
                generated!("envoy.config.core.v3");
            }
        }
    }
    pub mod extensions {
        pub mod common {
            pub mod ratelimit {
                pub mod v3 {
                    generated!("envoy.extensions.common.ratelimit.v3");
                }
            }
        }
    }
    pub mod service {
        pub mod ratelimit {
            pub mod v3 {
                generated!("envoy.service.ratelimit.v3");
                generated!("envoy.service.ratelimit.v3.RateLimitService");
            }
        }
    }
    pub mod r#type {
        pub mod v3 {
            generated!("envoy.r#type.v3");
        }
    }
}

pub use envoy::config::core::v3 as core;
pub use envoy::extensions::common::ratelimit::v3 as descriptor;
pub use envoy::service::ratelimit::v3 as rls;
