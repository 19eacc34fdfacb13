//! `docs/rfc9431.md` says of each requirement, and `docs/threat-model.md` of each threat, which test proves what we say: every one of them must
//! be there.

use std::{fs, path::Path};

/// The tests that the page cites: what stands in backticks as `path::name`.
fn cited(page: &str) -> Vec<(&str, &str)> {
    let quoted = page.split('`').skip(1).step_by(2);
    let citations = quoted.filter_map(|text| text.split_once("::"));
    citations.filter(|(path, _)| path.contains('/')).collect()
}

/// Whether the file has a test of this name: in Rust behind `#[test]` and the like, in Python behind `@case`.
fn has_test(path: &str, text: &str, name: &str) -> bool {
    let (mark, definition) = if Path::new(path).extension().is_some_and(|it| it == "py") {
        ("@case", format!("def {name}("))
    } else {
        ("test", format!("fn {name}("))
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.contains(&definition));
    at.is_some_and(|at| {
        let above = lines[..at].iter().rev();
        let mut above = above.take_while(|line| line.starts_with(['#', '@', '/']));
        above.any(|line| line.contains(mark) && line.starts_with(['#', '@']))
    })
}

/// Every test that a page cites must be there, and there must be so many.
fn assert_cited_tests_are_there(page: &str, at_least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join(page)).expect("the page is there");
    let mut missing = cited(&page);
    assert!(missing.len() >= at_least, "only {} cited", missing.len());
    missing.retain(|(path, name)| {
        let text = fs::read_to_string(root.join(path)).unwrap_or_default();
        !has_test(path, &text, name)
    });
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_test_that_the_page_on_rfc_9431_cites_is_there() {
    assert_cited_tests_are_there("docs/rfc9431.md", 80);
}

#[test]
fn every_test_that_the_threat_model_cites_is_there() {
    assert_cited_tests_are_there("docs/threat-model.md", 50);
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let text = "#[test]\nfn a_test() {\n}\n\nfn not_one() {\n}\n";
    assert!(has_test("a.rs", text, "a_test"));
    assert!(!has_test("a.rs", text, "not_one"));
    assert!(!has_test("a.rs", text, "a_tes"));
    let text = "@case\ndef a_case(system):\n    pass\n\ndef helper(system):\n    pass\n";
    assert!(has_test("a.py", text, "a_case"));
    assert!(!has_test("a.py", text, "helper"));
}
