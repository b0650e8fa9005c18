//! What the pages say is so: their policies load, their tables name everything there is.

use tollgate::metrics;
use tollgate::policy::diagnostic::Severity;
use tollgate::policy::model::{Mode, Source};
use tollgate::policy::set::CounterSeed;

use crate::support::*;

fn page(path: &str) -> String {
    std::fs::read_to_string(tools::repository().join(path)).unwrap()
}

/// Every page for people.
const PAGES: [&str; 14] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/compatibility.md",
    "docs/cookbook.md",
    "docs/migrate.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/policy-reference.md",
    "docs/reliability.md",
    "docs/testing-policies.md",
    "examples/envoy/README.md",
    "helm/tollgate/README.md",
];

/// The fenced YAML blocks of a page.
fn blocks(page: &str) -> impl Iterator<Item = String> {
    let blocks = page.split("```yaml\n").skip(1);
    blocks.map(|rest: &str| rest.split("```").next().unwrap_or_default().to_owned())
}

/// Those that are whole policies.
fn policies(page: &str) -> Vec<String> {
    blocks(page).filter(|block| block.starts_with("domain:")).collect()
}

/// The blocks that are table files, which say their name in the first line, as beside the page.
fn tables(path: &str, page: &str) -> Vec<Source> {
    let blocks = page.split("```yaml\n# ").skip(1);
    let table = |rest: &str| {
        let (name, rows) = rest.split_once('\n')?;
        let folder = path.rfind('/').map_or("", |slash| &path[..=slash]);
        let text = rows.split("```").next()?.to_owned();
        name.ends_with(".yaml").then(|| Source { name: format!("{folder}{name}"), text })
    };
    blocks.filter_map(table).collect()
}

#[test]
fn every_policy_in_the_pages_loads() {
    let mut count = 0;
    let pages = [
        "README.md",
        "docs/policy-reference.md",
        "docs/cookbook.md",
        "docs/compatibility.md",
        "docs/migrate.md",
        "docs/testing-policies.md",
    ];
    for path in pages {
        for text in policies(&page(path)) {
            let mut sources = vec![Source { name: path.to_owned(), text: text.clone() }];
            if text.contains("file:") {
                sources.extend(tables(path, &page(path)));
            }
            let compiled =
                tollgate::policy::compile(&sources, CounterSeed([0, 0]), &Mode::Enforce.into());
            let errors = compiled.diagnostics.iter().filter(|d| d.severity == Severity::Error);
            assert_eq!(errors.count(), 0, "{path}:\n{text}\n{:#?}", compiled.diagnostics);
            count += 1;
        }
    }
    assert!(count >= 8, "the pages have their examples");
}

/// The page shows what is converted, and what comes of it without its comments.
#[test]
fn what_the_page_says_of_conversions_is_what_comes_of_them() {
    use tollgate::convert::{convert, write};
    let page = page("docs/migrate.md");
    let block = |start: &str| blocks(&page).find(|block| block.starts_with(start)).unwrap();
    for (from, to) in [
        ("domain: messaging\ndescriptors:", "domain: messaging\ncharge:"),
        ("- namespace: test_namespace", "domain: test_namespace"),
    ] {
        let source = Source { name: "page.yaml".to_owned(), text: block(from) };
        let drafts = convert(&[source], None, &Default::default()).drafts.unwrap();
        let text = write::documents(&drafts);
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        assert_eq!(text, block(to));
    }
}

/// Pages show scenario files as YAML that begins with `scenarios:`, below the policy they are for.
#[test]
fn every_scenario_in_the_pages_holds() {
    for (path, at_least) in [("docs/testing-policies.md", 4), ("docs/cookbook.md", 9)] {
        let page = page(path);
        let blocks = page.split("```yaml\n").skip(1);
        let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
        let (mut policy, mut count) = ("", 0);
        for block in blocks {
            if block.starts_with("domain:") {
                policy = block;
                continue;
            }
            assert!(block.starts_with("scenarios:"), "neither a policy nor scenarios:\n{block}");
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("page.yaml"), policy).unwrap();
            std::fs::write(folder.path().join("page.test.yaml"), block).unwrap();
            let (code, stdout, stderr) =
                outcome(&mut tollgate(&["test", folder.path().to_str().unwrap()]));
            assert_eq!(code, 0, "{path}\n{block}\n{stdout}\n{stderr}");
            count += 1;
        }
        assert!(count >= at_least, "{path} has its examples");
    }
}

#[test]
fn the_readme_shows_the_policy_that_is_shipped() {
    let shipped = page("policies/quickstart.yaml");
    let [shown] = policies(&page("README.md")).try_into().unwrap();
    let shown = shown.trim_end();
    let (_, rest) = shipped.split_once("domain: quickstart").unwrap();
    assert!(format!("domain: quickstart{rest}").starts_with(shown), "{shown}");
}

/// The arguments of the first `explain` that a page shows, and what it says that this prints.
fn explanation(page: &str) -> (Vec<String>, String) {
    let blocks = page.split("```console\n").skip(1);
    let mut blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
    let block = blocks.find(|block| block.lines().next().unwrap().contains(" explain ")).unwrap();
    let (command, printed) = block.split_once('\n').unwrap();
    let (_, arguments) = command.split_once(" explain ").unwrap();
    let arguments = std::iter::once("explain").chain(arguments.split(' ')).map(str::to_owned);
    (arguments.collect(), printed.to_owned())
}

#[test]
fn the_readme_shows_what_explain_prints() {
    let (arguments, shown) = explanation(&page("README.md"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, printed, stderr) = outcome(tollgate(&arguments).current_dir(tools::repository()));
    assert_eq!((code, printed, stderr), (0, shown, String::new()));
}

#[tokio::test]
async fn the_page_on_operations_shows_what_a_server_explains() {
    let (mut arguments, shown) = explanation(&page("docs/operations.md"));
    let server = TestServer::start(&page("policies/quickstart.yaml")).await;
    let entries = [("tenant", "acme"), ("method", "POST"), ("endpoint", "/orders")];
    let order = || call("quickstart", vec![descriptor(&entries)]);
    for _ in 0..3 {
        server.client().should_rate_limit(order()).await.unwrap();
    }
    let (shown_url, url) = ("http://127.0.0.1:8080", format!("http://{}", server.http));
    let place = arguments.iter().position(|argument| argument == shown_url).unwrap();
    arguments[place].clone_from(&url);
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        outcome(&mut tollgate(&arguments))
    };
    let (code, printed, stderr) = within(tokio::task::spawn_blocking(run)).await.unwrap();
    assert_eq!((code, printed.replace(&url, shown_url), stderr), (0, shown, String::new()));
}

#[test]
fn the_readme_and_the_page_of_the_server_show_the_same_call() {
    let readme = page("README.md");
    let call = readme.split("```sh\n").find(|block| block.starts_with("curl ")).unwrap();
    let call = call.split("\n```").next().unwrap();
    assert!(page("src/admin/index.html").contains(call), "{call}");
}

/// What a heading is linked to as.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().replace(' ', "-")
}

/// The anchors of a page, whose code may have lines that look like headings.
fn anchors(page: &str) -> Vec<String> {
    let mut is_code = false;
    let headings = page.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_into_a_page_finds_its_heading() {
    let mut count = 0;
    for path in PAGES {
        let text = page(path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some((file, wanted)) = target.split_once('#') else { continue };
            if file.contains("://") {
                continue;
            }
            let here = tools::repository().join(path);
            let there = if file.is_empty() { here } else { here.parent().unwrap().join(file) };
            let anchors = anchors(&std::fs::read_to_string(&there).unwrap());
            assert!(anchors.iter().any(|anchor| anchor == wanted), "{path}: `{target}`");
            count += 1;
        }
    }
    assert!(count >= 20, "pages have links into each other");
}

#[test]
fn pages_name_no_metric_that_is_not_there() {
    let names: Vec<&str> = metrics::TABLE.iter().map(|metric| metric.name).collect();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for path in PAGES {
        for word in page(path).split(|c| !is_part(c)).filter(|word| word.starts_with("tollgate_")) {
            // `tollgate_store_*` names all that begin so.
            let is_there = match word.ends_with('_') {
                true => names.iter().any(|name| name.starts_with(word)),
                false => names.contains(&word),
            };
            assert!(is_there, "{path}: `{word}`");
        }
    }
}

#[test]
fn every_metric_is_described_with_its_labels() {
    let operations = page("docs/operations.md");
    for metric in metrics::TABLE {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let row =
            format!("| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help);
        assert!(operations.contains(&row), "docs/operations.md lacks the row\n{row}");
    }
}

#[test]
fn every_setting_is_described_with_its_default() {
    let operations = page("docs/operations.md");
    let (code, printed, _) = outcome(&mut tollgate(&["serve", "--print-config"]));
    assert_eq!(code, 0);
    for line in printed.lines() {
        let (key, rest) = line.split_once(": ").unwrap();
        let default = rest.split('#').next().unwrap().trim();
        let default = default.trim_matches(['[', ']', '"']);
        let variable = key.to_uppercase().replace('-', "_");
        let row = format!("| `{key}` | `TOLLGATE_{variable}` | `{default}` |");
        assert!(operations.contains(&row), "docs/operations.md lacks the row\n{row}");
    }
}
