//! Configuration files harmed by a seed. `SYMBOLON_SEEDS` says how many seeds are tried.

#[path = "../../../ace-proto/tests/ace/mutator.rs"]
mod mutator;

use crate::program::Site;
use mutator::harmed;

const SEEDS: u64 = 150;
/// More of what a file may say than `init` writes.
const MORE: &str = r#"
[broker.limits]
connections = 1_000
packet_size = 65_536
receive_rate = 0

[broker.introspection]
endpoint = "https://localhost:1/introspect"
client_id = "broker"
secret = "keys/secret"

[log]
level = "warn,symbolon_broker=debug"
format = "json"
"#;

#[test]
fn a_harmed_configuration_is_right_or_gets_its_complaint() {
    let site = Site::new();
    let file = site.path().join("symbolon.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let corpus = [text.clone().into(), (text + MORE).into_bytes()];
    for (seed, harmed) in harmed(&corpus, SEEDS) {
        std::fs::write(&file, &harmed).unwrap();
        let ended = site.check();
        let shown = harmed.escape_ascii();
        assert!(
            [0, 2].contains(&ended.code),
            "seed {seed}: {ended:?}\n{shown}"
        );
        assert!(!ended.stderr.contains("panicked"), "seed {seed}: {ended:?}");
        assert_eq!(
            ended.code == 2,
            ended.stderr.contains("symbolon.toml"),
            "seed {seed}: {ended:?}"
        );
    }
}
