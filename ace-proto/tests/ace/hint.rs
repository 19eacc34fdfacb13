use symbolon_ace_proto::{AsHint, Scope};

use crate::vectors::{SCOPE, SCOPE_JSON};

// RFC 9431 §2.4.1
#[test]
fn the_as_alone_is_enough() {
    let hint = AsHint {
        cnonce: None,
        authorization_server: "https://as.example.com/token".to_owned(),
        audience: None,
        scope: None,
    };
    let json = r#"{"AS":"https://as.example.com/token"}"#;
    assert_eq!(hint.to_json(), json);
    assert_eq!(AsHint::from_json(json).unwrap(), hint);
}

#[test]
fn audience_and_scope_come_back() {
    let hint = AsHint {
        cnonce: None,
        authorization_server: "https://as.example.com/token".to_owned(),
        audience: Some("mqtts://broker.example.com".to_owned()),
        scope: Some(Scope::from_json(SCOPE_JSON).unwrap()),
    };
    let json = hint.to_json();
    assert!(json.contains(&format!(r#""scope":"{SCOPE}""#)), "{json}");
    assert_eq!(AsHint::from_json(&json).unwrap(), hint);
}

#[test]
fn unknown_members_are_ignored() {
    let json = r#"{"cnonce":"4KFWuz8","kid":"abc","AS":"https://a/token","x":[{}]}"#;
    assert!(AsHint::from_json(json).is_ok());
}

// RFC 9431 §2.4.1: `AS` is mandatory.
#[test]
fn a_hint_without_an_as_is_refused() {
    for json in [
        "{}",
        r#"{"AS":""}"#,
        r#"{"AS":null}"#,
        r#"{"AS":1}"#,
        r#"{"audience":"a"}"#,
        r#"{"AS":"https://a/token","AS":"https://b/token"}"#,
        r#"{"AS":"https://a/token","scope":"pub sub"}"#,
        r#"{"AS":"https://a/token","audience":null}"#,
        r#"["https://a/token"]"#,
        "",
    ] {
        assert!(AsHint::from_json(json).is_err(), "{json}");
    }
}
