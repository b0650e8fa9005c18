//! `tollgate schema`, and how the shipped files name what it prints.

use crate::support::*;

#[test]
fn the_schemas_are_json_of_draft_07_and_lie_beside_the_policies() {
    for (arguments, file) in [
        (&["schema"][..], "policy.schema.json"),
        (&["schema", "--of", "policies"], "policy.schema.json"),
        (&["schema", "--of", "scenarios"], "scenarios.schema.json"),
    ] {
        let (code, stdout, stderr) = outcome(&mut tollgate(arguments));
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        let shipped = tools::repository().join("policies").join(file);
        assert!(std::fs::read_to_string(shipped).unwrap() == stdout, "renew policies/{file}");
    }
    let (code, _, stderr) = outcome(&mut tollgate(&["schema", "--of", "tables"]));
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn every_shipped_file_names_its_schema() {
    let mut count = 0;
    for entry in std::fs::read_dir(tools::repository().join("policies")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let schema = match name.as_str() {
            name if name.ends_with(".test.yaml") => "scenarios.schema.json",
            name if name.ends_with(".yaml") => "policy.schema.json",
            _ => continue,
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let header = format!("# yaml-language-server: $schema={schema}");
        assert_eq!(text.lines().next(), Some(header.as_str()), "the first line of {name}");
        count += 1;
    }
    assert!(count >= 4, "the shipped files are seen");
}
