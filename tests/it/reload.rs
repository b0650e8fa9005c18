//! Reload in all the ways in which files change: each test waits for the published version.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tollgate::source::Reloads;

use crate::support::*;

async fn version(reloads: &mut watch::Receiver<Reloads>, version: u64) {
    within(reloads.wait_for(|reloads| reloads.version >= version)).await.unwrap();
}

async fn failure(reloads: &mut watch::Receiver<Reloads>, count: u64) {
    within(reloads.wait_for(|reloads| reloads.failed_count >= count)).await.unwrap();
}

fn policy(amount: u32) -> String {
    FIVE_A_MINUTE.replace("5/minute", &format!("{amount}/minute"))
}

async fn amount(server: &TestServer) -> u32 {
    let response = server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
    only_status(response.get_ref()).current_limit.as_ref().unwrap().requests_per_unit
}

#[tokio::test]
async fn a_file_written_in_place_is_in_force_within_two_seconds_and_usage_is_kept() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut reloads = server.active.subscribe();
    let mut client = server.client();
    for _ in 0..3 {
        client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
    }
    fs::write(server.folder.path().join("policy.yaml"), policy(8)).unwrap();
    let changed = version(&mut reloads, 2);
    tokio::time::timeout(Duration::from_secs(2), changed).await.expect("within two seconds");
    let response = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
    assert_eq!(only_status(&response).limit_remaining, 8 - 4);
    let metrics = server.metrics.render();
    assert_eq!(metric(&metrics, "tollgate_policy_reloads_total{result=\"ok\"}"), 2.0);
    assert_eq!(metric(&metrics, "tollgate_policy_set_version"), 2.0);
}

#[tokio::test]
async fn a_file_renamed_over_another_is_taken() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut reloads = server.active.subscribe();
    let draft = server.folder.path().join(".draft");
    fs::write(&draft, policy(7)).unwrap();
    fs::rename(&draft, server.folder.path().join("policy.yaml")).unwrap();
    version(&mut reloads, 2).await;
    assert_eq!(amount(&server).await, 7);
}

#[tokio::test]
async fn files_that_come_and_go_are_policies_that_come_and_go() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut reloads = server.active.subscribe();
    let second = server.folder.path().join("second.yml");
    fs::write(&second, FIVE_A_MINUTE.replace("shop", "depot")).unwrap();
    version(&mut reloads, 2).await;
    let depot = || async {
        let response = server.client().should_rate_limit(tenant("depot", "acme")).await.unwrap();
        only_status(response.get_ref()).current_limit.is_some()
    };
    assert!(depot().await);
    fs::remove_file(&second).unwrap();
    version(&mut reloads, 3).await;
    assert!(!depot().await);
}

/// A folder as Kubernetes mounts a ConfigMap: links to a version that is swapped whole.
fn write_version(folder: &Path, name: &str, text: &str) {
    fs::create_dir(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("policy.yaml"), text).unwrap();
    let draft = folder.join("..data_tmp");
    symlink(name, &draft).unwrap();
    fs::rename(&draft, folder.join("..data")).unwrap();
}

#[tokio::test]
async fn a_config_map_is_swapped_whole() {
    let folder = tempfile::tempdir().unwrap();
    write_version(folder.path(), "..2026_1", &policy(5));
    symlink("..data/policy.yaml", folder.path().join("policy.yaml")).unwrap();
    let server = TestServer::start_in(folder, |_| {}).await;
    let mut reloads = server.active.subscribe();
    write_version(server.folder.path(), "..2026_2", &policy(9));
    fs::remove_dir_all(server.folder.path().join("..2026_1")).unwrap();
    version(&mut reloads, 2).await;
    assert_eq!(amount(&server).await, 9);
    assert_eq!(reloads.borrow().failed_count, 0, "no torn state is ever tried");
}

#[tokio::test]
async fn a_folder_that_vanishes_keeps_its_set_and_is_found_again() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("policies");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("policy.yaml"), policy(5)).unwrap();
    let watched = folder.clone();
    let server = TestServer::start_in(above, |settings| settings.policies = vec![watched]).await;
    let mut reloads = server.active.subscribe();
    fs::remove_dir_all(&folder).unwrap();
    failure(&mut reloads, 1).await;
    assert_eq!(amount(&server).await, 5);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("policy.yaml"), policy(6)).unwrap();
    version(&mut reloads, 2).await;
    assert_eq!(amount(&server).await, 6);
    fs::write(folder.join("policy.yaml"), policy(7)).unwrap();
    version(&mut reloads, 3).await;
    assert_eq!(amount(&server).await, 7);
}

#[tokio::test]
async fn a_broken_set_is_refused_whole_and_the_old_one_stays() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut reloads = server.active.subscribe();
    fs::write(server.folder.path().join("good.yaml"), FIVE_A_MINUTE.replace("shop", "depot"))
        .unwrap();
    fs::write(server.folder.path().join("policy.yaml"), "domain: shop\nrules: [").unwrap();
    failure(&mut reloads, 1).await;
    assert_eq!(amount(&server).await, 5);
    let metrics = server.metrics.render();
    assert_eq!(metric(&metrics, "tollgate_policy_last_reload_successful"), 0.0);
    assert_eq!(server.get("/readyz").await.0, 200, "an old set is still a set");

    fs::write(server.folder.path().join("policy.yaml"), policy(6)).unwrap();
    within(reloads.wait_for(|reloads| reloads.version >= 2)).await.unwrap();
    assert_eq!(amount(&server).await, 6);
    let metrics = server.metrics.render();
    assert_eq!(metric(&metrics, "tollgate_policy_last_reload_successful"), 1.0);
}

#[tokio::test]
async fn an_emptied_file_lifts_no_limit() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut reloads = server.active.subscribe();
    for (count, text) in ["", "# to be written\n", "domain: shop\nrules:\n"].iter().enumerate() {
        fs::write(server.folder.path().join("policy.yaml"), text).unwrap();
        failure(&mut reloads, count as u64 + 1).await;
        assert_eq!(amount(&server).await, 5, "{text:?}");
    }
}

#[tokio::test]
async fn the_same_text_written_again_is_no_reload() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut reloads = server.active.subscribe();
    fs::write(server.folder.path().join("policy.yaml"), FIVE_A_MINUTE).unwrap();
    fs::write(server.folder.path().join("x.test.yaml"), "not a policy").unwrap();
    // A change that comes after tells that the same text was seen and passed over.
    fs::write(server.folder.path().join("second.yaml"), FIVE_A_MINUTE.replace("shop", "depot"))
        .unwrap();
    version(&mut reloads, 2).await;
    let metrics = server.metrics.render();
    assert_eq!(metric(&metrics, "tollgate_policy_reloads_total{result=\"ok\"}"), 2.0);
}

#[tokio::test]
async fn a_file_that_was_emptied_keeps_the_old_set_in_force() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut reloads = server.active.subscribe();
    let file = server.folder.path().join("policy.yaml");
    fs::write(&file, "").unwrap();
    failure(&mut reloads, 1).await;
    assert_eq!(amount(&server).await, 5);
    fs::write(&file, policy(6)).unwrap();
    version(&mut reloads, 2).await;
    assert_eq!(amount(&server).await, 6);
}

#[tokio::test]
async fn a_change_of_a_table_file_is_in_force_within_two_seconds_and_usage_is_kept() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut reloads = server.active.subscribe();
    let folder = server.folder.path();
    fs::create_dir(folder.join("tables")).unwrap();
    let rows = |amount: u32| format!("default: {{ rate: 1 }}\nacme: {{ rate: {amount} }}\n");
    fs::write(folder.join("tables/tenants.yaml"), rows(6)).unwrap();
    let policy = FIVE_A_MINUTE
        .replace("5/minute", "tenant.rate / minute")
        .replace("rules:", "tables: { tenant: { file: tables/tenants.yaml } }\nrules:");
    fs::write(folder.join("policy.yaml"), policy).unwrap();
    version(&mut reloads, 2).await;
    assert_eq!(amount(&server).await, 6);
    fs::write(folder.join("tables/tenants.yaml"), rows(9)).unwrap();
    let changed = version(&mut reloads, 3);
    tokio::time::timeout(Duration::from_secs(2), changed).await.expect("within two seconds");
    let response = server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
    assert_eq!(only_status(response.get_ref()).limit_remaining, 9 - 2);

    fs::write(folder.join("tables/tenants.yaml"), "acme: [1]\n").unwrap();
    failure(&mut reloads, 1).await;
    assert_eq!(amount(&server).await, 9, "the set before stays in force");
    fs::remove_file(folder.join("tables/tenants.yaml")).unwrap();
    failure(&mut reloads, 2).await;
    assert_eq!(amount(&server).await, 9);
}
