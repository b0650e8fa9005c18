//! Notice of changes of policy files, and of nothing else.
//!
//! Other files may be written beside policies all the time, a log for example; if those were
//! noticed, all policies would be read again for each line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::Watcher as _;
use tokio::sync::Notify;

use super::files::is_policy_name;

/// Watches the folders that policies are in, and the folders above them for replacement. What
/// cannot be watched is left to the poll.
pub(super) fn watch_folders(
    paths: &[PathBuf],
    changed: &Arc<Notify>,
) -> Option<notify::RecommendedWatcher> {
    let changed = Arc::clone(changed);
    // Events name whole paths, whatever the settings say.
    let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let policies: Vec<PathBuf> = paths.iter().map(whole).collect();
    let on_event = move |event: notify::Result<notify::Event>| {
        let is_noted = event.is_ok_and(|event| {
            // Reading the files is an event too; reacting to it would never end.
            let is_change = !event.kind.is_access();
            let is_about = |path: &PathBuf| is_about_policies(path, &policies);
            event.need_rescan() || is_change && event.paths.iter().any(is_about)
        });
        if is_noted {
            changed.notify_one();
        }
    };
    let mut watcher = match notify::recommended_watcher(on_event) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "no notice of file changes; policies are compared every second");
            return None;
        }
    };
    for path in paths {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        for folder in [Some(path.as_path()), above].into_iter().flatten() {
            if folder.is_dir()
                && let Err(error) = watcher.watch(folder, notify::RecursiveMode::NonRecursive)
            {
                let folder = folder.display();
                tracing::debug!(%error, %folder, "folder is not watched, only compared");
            }
        }
    }
    Some(watcher)
}

/// Whether what happened at `path` may change what the policies say, each of `policies` being a file
/// or a folder.
fn is_about_policies(path: &Path, policies: &[PathBuf]) -> bool {
    let Some(name) = path.file_name() else { return false };
    // `..data` and its like are the links and folders by which a ConfigMap is swapped.
    let is_link = name.as_encoded_bytes().starts_with(b"..");
    let is_policy = name.to_str().is_some_and(is_policy_name);
    policies.iter().any(|policy| {
        path == policy
            || path.parent() == Some(policy) && (is_policy || is_link)
            || path.parent() == policy.parent() && is_link
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_policies_links_and_the_folder_itself_are_noticed() {
        let policies = ["/etc/tollgate/policies", "/srv/one.policy"].map(PathBuf::from);
        for (path, is_about) in [
            ("/etc/tollgate/policies", true),
            ("/etc/tollgate/policies/a.yaml", true),
            ("/etc/tollgate/policies/a.yml", true),
            ("/etc/tollgate/policies/..data", true),
            ("/etc/tollgate/policies/..2026_01_01", true),
            ("/srv/one.policy", true),
            ("/srv/..data", true),
            ("/etc/tollgate/policies/access.log", false),
            ("/etc/tollgate/policies/a.test.yaml", false),
            ("/etc/tollgate/policies/.a.yaml.swp", false),
            ("/etc/tollgate/other", false),
            ("/etc/tollgate/other.yaml", false),
            ("/srv/one.yaml", false),
        ] {
            assert_eq!(is_about_policies(Path::new(path), &policies), is_about, "{path}");
        }
    }

    #[tokio::test]
    async fn a_policy_that_is_written_is_noticed_however_its_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, way) in [("one.yaml", ""), ("two.yaml", "."), ("three.yaml", "./")] {
            let changed = Arc::new(Notify::new());
            let _watcher = watch_folders(&[folder.path().join(way)], &changed).unwrap();
            std::fs::write(folder.path().join(name), "domain: shop").unwrap();
            changed.notified().await;
        }
    }
}
