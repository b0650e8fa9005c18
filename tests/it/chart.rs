//! The Helm chart: what it renders, what it refuses, and that the real binary starts with what it rendered.
//!
//! Each file of `helm/tollgate/ci` is a scenario; `helm/golden` holds what it renders to. Run with
//! `TOLLGATE_REWRITE_GOLDEN=1` to write these anew, then read the difference.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http::{request, send};
use crate::support::{ServerProcess, tools};

const SCENARIOS: [&str; 6] =
    ["no-values", "smallest", "everything", "existing-objects", "pinned-image", "forgetful"];

/// The version whose rules the rendered objects are held to.
const KUBERNETES: &str = "1.31.0";

fn helm_folder() -> PathBuf {
    tools::repository().join("helm")
}

fn scenario_file(scenario: &str) -> PathBuf {
    helm_folder().join("tollgate/ci").join(format!("{scenario}.yaml"))
}

fn render(helm: &Path, values: &Path) -> Output {
    Command::new(helm)
        .args(["template", "tollgate"])
        .arg(helm_folder().join("tollgate"))
        .args(["--namespace", "quota", "--kube-version", KUBERNETES, "--values"])
        .arg(values)
        .output()
        .expect("Helm runs")
}

fn render_scenario(helm: &Path, scenario: &str) -> String {
    let output = render(helm, &scenario_file(scenario));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}: {error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn objects(text: &str) -> Vec<Value> {
    serde_yaml::from_multiple(text).expect("YAML")
}

fn object<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    objects
        .iter()
        .find(|object| object["kind"] == kind)
        .unwrap_or_else(|| panic!("no {kind} was rendered"))
}

/// What has the pods: a StatefulSet where each has a volume of its own.
fn workload(objects: &[Value]) -> &Value {
    let mut found = objects.iter().filter(|object| object["spec"]["template"].is_object());
    let workload = found.next().expect("a Deployment or a StatefulSet");
    assert!(found.next().is_none(), "one of them");
    workload
}

/// The pod and the container of it that runs tollgate, in the chart's workload or beside Envoy.
fn pod_and_container(workload: &Value) -> (&Value, &Value) {
    let pod = &workload["spec"]["template"]["spec"];
    let container = ["initContainers", "containers"]
        .iter()
        .filter_map(|list| pod[*list].as_array())
        .flatten()
        .find(|container| container["name"] == "tollgate")
        .expect("a container `tollgate`");
    (pod, container)
}

fn snippet() -> String {
    let path = helm_folder().join("snippets/native-sidecar.yaml");
    std::fs::read_to_string(path).expect("the sidecar snippet")
}

#[test]
fn every_scenario_renders_as_its_golden_file() {
    let Some(helm) = tools::helm() else { return };
    let mut listed = BTreeSet::new();
    for entry in std::fs::read_dir(helm_folder().join("tollgate/ci")).expect("scenarios") {
        listed.insert(entry.expect("a scenario").path());
    }
    assert_eq!(listed, SCENARIOS.iter().map(|scenario| scenario_file(scenario)).collect());

    for scenario in SCENARIOS {
        let rendered = render_scenario(&helm, scenario);
        let golden = helm_folder().join("golden").join(format!("{scenario}.yaml"));
        if tools::rewrites_golden_files() {
            std::fs::write(&golden, &rendered).expect("a golden file");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(
            rendered == expected,
            "`{scenario}` renders differently; TOLLGATE_REWRITE_GOLDEN=1 takes it over:\n{rendered}"
        );
    }
}

#[test]
fn lint_has_nothing_to_say() {
    let Some(helm) = tools::helm() else { return };
    for scenario in SCENARIOS {
        let output = Command::new(&helm)
            .args(["lint", "--strict", "--quiet"])
            .arg(helm_folder().join("tollgate"))
            .arg("--values")
            .arg(scenario_file(scenario))
            .output()
            .expect("Helm runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.trim().is_empty(), "{scenario}: {text}");
    }
}

#[test]
fn kubernetes_accepts_every_object() {
    let (Some(helm), Some(validate)) = (tools::helm(), tools::kubernetes_validate()) else {
        return;
    };
    let folder = TempDir::new().expect("a temporary folder");
    let mut files = vec![folder.path().join("snippet.yaml")];
    std::fs::write(&files[0], snippet()).expect("the snippet");
    for scenario in SCENARIOS {
        let file = folder.path().join(format!("{scenario}.yaml"));
        std::fs::write(&file, render_scenario(&helm, scenario)).expect("a rendering");
        files.push(file);
    }
    let (version, _) = KUBERNETES.rsplit_once('.').expect("three parts");
    let output = Command::new(&validate)
        .args(["--strict", "--kubernetes-version", version])
        .args(&files)
        .output()
        .expect("the checker runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let object_count: usize = files
        .iter()
        .map(|file| objects(&std::fs::read_to_string(file).expect("a rendering")).len())
        .sum();
    assert_eq!(text.matches(" passed for resource ").count(), object_count, "{text}");
}

/// Values on top of the smallest scenario, and what the refusal must name.
const REFUSED: [(&str, &str); 38] = [
    ("replica: 2", "replica"),
    ("replicas: two", "replicas"),
    ("replicas: -1", "replicas"),
    ("image: { tagg: x }", "tagg"),
    ("image: { repository: '' }", "image.repository"),
    ("image: { digest: sha256:123 }", "image.digest"),
    ("image: { pullPolicy: Sometimes }", "image.pullPolicy"),
    ("policies: { quickstart: 'domain: x' }", "quickstart"),
    ("policies: { quickstart.yaml: { domain: x } }", "policies.quickstart.yaml"),
    ("policies: { a/b.yaml: 'domain: x' }", "a/b.yaml"),
    ("existingConfigMap: other", "existingConfigMap"),
    ("fullnameOverride: X_Y", "fullnameOverride"),
    ("fullnameOverride: 9to5", "fullnameOverride"),
    ("nameOverride: X_Y", "nameOverride"),
    ("store: disk", "store"),
    ("store: memory\npersistence: { enabled: true }", "persistence.enabled"),
    ("persistence: { existingClaim: mine }", "persistence.enabled"),
    ("replicas: 2\npersistence: { enabled: true, existingClaim: mine }", "replicas: 1"),
    ("persistence: { size: much }", "persistence.size"),
    ("persistence: { claim: mine }", "claim"),
    ("maxCounters: 10", "maxCounters"),
    ("maxCounters: many", "maxCounters"),
    ("service: { type: Internal }", "service.type"),
    ("service: { grpcPort: 70000 }", "service.grpcPort"),
    ("service: { port: 8081 }", "port"),
    ("resources: { limit: { cpu: 1 } }", "limit"),
    ("extraArgs: --store", "extraArgs"),
    ("extraArgs: [--http, '0.0.0.0:9090']", "`extraArgs` has `--http`"),
    ("extraArgs: [--store=memory]", "`extraArgs` has `--store=memory`"),
    ("extraArgs: [--data-dir, /tmp]", "`extraArgs` has `--data-dir`"),
    ("extraArgs: [--drain-delay, 60s]", "drainDelaySeconds"),
    ("extraEnv: [{ name: TOLLGATE_DRAIN_DELAY, value: 60s }]", "drainDelaySeconds"),
    ("drainDelaySeconds: 13", "terminationGracePeriodSeconds"),
    ("drainDelaySeconds: 1.5", "drainDelaySeconds"),
    ("extraEnv: [{ value: x }]", "extraEnv.0"),
    ("podLabels: { app.kubernetes.io/name: x }", "podLabels"),
    ("podDisruptionBudget: { maxUnavailable: some }", "podDisruptionBudget.maxUnavailable"),
    ("podDisruptionBudget: { maxUnavailable: 200% }", "podDisruptionBudget.maxUnavailable"),
];

#[test]
fn bad_values_are_refused_by_name() {
    let Some(helm) = tools::helm() else { return };
    let folder = TempDir::new().expect("a temporary folder");
    let smallest = std::fs::read_to_string(scenario_file("smallest")).expect("a scenario");
    for (bad, named) in REFUSED {
        let file = folder.path().join("values.yaml");
        let kept = if bad.starts_with("policies") { "" } else { smallest.as_str() };
        std::fs::write(&file, format!("{kept}\n{bad}\n")).expect("values");
        let output = render(&helm, &file);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "`{bad}` was accepted");
        assert!(error.contains(named), "`{bad}` must name `{named}`: {error}");
    }
}

#[test]
fn without_values_the_shipped_quickstart_policy_is_in_force_and_the_notes_say_so() {
    let chart = helm_folder().join("tollgate");
    let inside = std::fs::read_to_string(chart.join("files/quickstart.yaml")).expect("a policy");
    let shipped = tools::repository().join("policies/quickstart.yaml");
    let shipped = std::fs::read_to_string(shipped).expect("the shipped policy");
    // The schema stands beside the policies in the repository, and nowhere in a chart.
    let (header, shipped) = shipped.split_once('\n').expect("lines");
    assert!(header.starts_with("# yaml-language-server: "), "{header}");
    assert_eq!(
        inside, shipped,
        "the chart's copy: tail -n +2 policies/quickstart.yaml >helm/tollgate/files/quickstart.yaml"
    );

    let Some(helm) = tools::helm() else { return };
    let rendered = objects(&render_scenario(&helm, "no-values"));
    assert_eq!(object(&rendered, "ConfigMap")["data"], json!({ "quickstart.yaml": shipped }));
    let says_so = |scenario| notes(&helm, scenario).contains("the quickstart policy is in force");
    assert!(says_so("no-values") && !says_so("smallest") && !says_so("existing-objects"));
}

/// What Helm prints after an installation. `helm template` leaves the notes out, so a copy of the
/// chart has them as the text of an object.
fn notes(helm: &Path, scenario: &str) -> String {
    let folder = TempDir::new().expect("a temporary folder");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(helm_folder().join("tollgate"))
        .arg(folder.path())
        .status()
        .expect("`cp` runs");
    assert!(copied.success(), "the chart is copied");
    let templates = folder.path().join("tollgate/templates");
    let notes = std::fs::read_to_string(templates.join("NOTES.txt")).expect("the notes");
    let object = r#"{"kind": "Notes", "text": {{ include "notes" . | toJson }}}"#;
    let object = format!("{{{{- define \"notes\" }}}}{notes}{{{{ end -}}}}\n{object}\n");
    std::fs::write(templates.join("notes.yaml"), object).expect("a template");
    let output = Command::new(helm)
        .args(["template", "tollgate", "--show-only", "templates/notes.yaml", "--values"])
        .arg(scenario_file(scenario))
        .arg(folder.path().join("tollgate"))
        .output()
        .expect("Helm runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}: {error}");
    let rendered = objects(&String::from_utf8_lossy(&output.stdout));
    rendered[0]["text"].as_str().expect("text").to_owned()
}

#[test]
fn text_of_policies_arrives_unchanged() {
    let Some(helm) = tools::helm() else { return };
    for scenario in ["smallest", "everything", "pinned-image"] {
        let values = std::fs::read_to_string(scenario_file(scenario)).expect("a scenario");
        let values: Value = serde_yaml::from_str(&values).expect("YAML");
        let rendered = objects(&render_scenario(&helm, scenario));
        assert_eq!(object(&rendered, "ConfigMap")["data"], values["policies"], "{scenario}");
    }
}

#[test]
fn pods_keep_to_pod_security_restricted() {
    let Some(helm) = tools::helm() else { return };
    let mut workloads: Vec<Value> = SCENARIOS
        .iter()
        .map(|scenario| workload(&objects(&render_scenario(&helm, scenario))).clone())
        .collect();
    workloads.extend(objects(&snippet()));
    for workload in &workloads {
        let (pod, container) = pod_and_container(workload);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["runAsUser"], 65532);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let context = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(container["securityContext"], context);
        // tollgate drains by itself on SIGTERM; a hook would only delay it.
        assert_eq!(container["lifecycle"], Value::Null);
        assert_eq!(container["startupProbe"]["httpGet"]["path"], "/readyz");
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
    }
}

#[tokio::test]
async fn rendered_arguments_start_the_real_binary() {
    let Some(helm) = tools::helm() else { return };
    for scenario in ["no-values", "smallest", "everything", "pinned-image", "forgetful"] {
        let rendered = objects(&render_scenario(&helm, scenario));
        let policies = &object(&rendered, "ConfigMap")["data"];
        start_container(workload(&rendered), policies).await;
    }
    let quickstart = tools::repository().join("policies/quickstart.yaml");
    let quickstart = std::fs::read_to_string(quickstart).expect("the shipped policy");
    let policies = json!({ "quickstart.yaml": quickstart });
    start_container(&objects(&snippet())[0], &policies).await;
}

/// Starts the binary as the container would, with its folders elsewhere, and asks its probes.
async fn start_container(workload: &Value, policies: &Value) {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in policies.as_object().expect("a ConfigMap's content") {
        std::fs::write(folder.path().join(name), text.as_str().expect("text")).expect("a policy");
    }
    let (_, container) = pod_and_container(workload);
    let arguments: Vec<&str> = container["args"]
        .as_array()
        .expect("arguments")
        .iter()
        .map(|argument| argument.as_str().expect("text"))
        .collect();
    let environment: Vec<(&str, &str)> = container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| Some((variable["name"].as_str()?, variable["value"].as_str()?)))
        .collect();
    let tollgate = ServerProcess::start_as_container(&arguments, &environment, folder.path());

    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let Some(path) = container[probe]["httpGet"]["path"].as_str() else {
            continue;
        };
        let answer = send(tollgate.http, request("GET", path, &[])).await;
        assert_eq!(answer.status(), 200, "{probe}: {answer:?}");
    }
    let is_durable = !arguments.contains(&"memory");
    assert_eq!(folder.path().join("data/tollgate.redb").exists(), is_durable);
}

/// The kind of the workload, and what it mounts as the folder of counters.
fn where_counters_are(objects: &[Value]) -> (String, Option<Value>) {
    let workload = workload(objects);
    let (pod, container) = pod_and_container(workload);
    let kind = workload["kind"].as_str().expect("a kind").to_owned();
    let arguments = container["args"].as_array().expect("arguments");
    let folder = arguments.iter().position(|argument| argument == "--data-dir");
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let name = folder.map(|flag| {
        let mount = mounts.iter().find(|mount| mount["mountPath"] == arguments[flag + 1]);
        let mount = mount.expect("the folder of counters is mounted");
        assert_ne!(mount["readOnly"], true);
        &mount["name"]
    });
    let named = |list: &Value, at: &str| {
        let mut list = list.as_array().into_iter().flatten();
        list.find(|entry| name.is_some() && entry.pointer(at) == name).cloned()
    };
    let volume = named(&pod["volumes"], "/name");
    let claim = named(&workload["spec"]["volumeClaimTemplates"], "/metadata/name");
    assert!(volume.is_none() || claim.is_none(), "one volume");
    (kind, volume.or(claim))
}

#[test]
fn counters_outlast_the_container_and_with_persistence_the_pod() {
    let Some(helm) = tools::helm() else { return };
    let of = |scenario| where_counters_are(&objects(&render_scenario(&helm, scenario)));
    let in_pod = ("Deployment".to_owned(), Some(json!({ "name": "data", "emptyDir": {} })));
    for scenario in ["no-values", "smallest", "pinned-image"] {
        assert_eq!(of(scenario), in_pod, "{scenario}");
    }
    let (kind, volume) = where_counters_are(&objects(&snippet()));
    assert_eq!((&*kind, &volume.expect("a volume")["emptyDir"]), ("Deployment", &json!({})));
    assert_eq!(of("forgetful"), ("Deployment".to_owned(), None));

    let (kind, claim) = of("everything");
    let claim = claim.expect("a claim for each pod");
    assert_eq!(kind, "StatefulSet");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "10Gi");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    let (kind, volume) = of("existing-objects");
    let claim = json!({ "claimName": "counters-of-last-year" });
    assert_eq!(
        (&*kind, &volume.expect("a volume")["persistentVolumeClaim"]),
        ("StatefulSet", &claim)
    );
}

/// The path of every value that a user may set, from the comments and nesting of `values.yaml`.
fn value_paths(text: &str) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    let mut parent = String::new();
    let mut comment = Vec::new();
    for line in text.lines() {
        let inner = line.trim_start();
        if let Some(words) = inner.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        let comment = std::mem::take(&mut comment).join(" ");
        let Some((key, value)) = inner.split_once(':') else {
            continue;
        };
        match line.len() - inner.len() {
            0 if value.is_empty() && comment.is_empty() => parent = format!("{key}."),
            0 => {
                parent.clear();
                paths.push((key.to_owned(), comment));
            }
            2 if !parent.is_empty() => paths.push((format!("{parent}{key}"), comment)),
            _ => {}
        }
    }
    paths
}

#[test]
fn every_value_is_explained_in_place_and_in_the_readme() {
    let chart = helm_folder().join("tollgate");
    let values = std::fs::read_to_string(chart.join("values.yaml")).expect("values");
    let readme = std::fs::read_to_string(chart.join("README.md")).expect("the chart's README");
    let explained: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split('`').next())
        .collect();
    let paths = value_paths(&values);
    for (path, comment) in &paths {
        let begin = comment.split(' ').next().unwrap_or_default();
        assert_eq!(begin, path, "the comment of `{path}` must start with its name");
    }
    let paths: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(explained, paths, "the README lists every value, in the order of values.yaml");
}
