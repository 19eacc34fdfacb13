//! The unit for systemd: what it may do.

use std::{path::Path, process};

/// The exposure that `systemd-analyze security` may find, of 10.
const EXPOSURE_AT_MOST: f32 = 1.5;

#[test]
fn the_unit_leaves_the_service_next_to_nothing_to_attack() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/symbolon.service");
    let said = process::Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(unit)
        .output()
        .expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&said.stdout);
    let exposure = said
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for symbolon.service: "));
    let (_, exposure) = exposure.expect("it says how exposed the service is");
    let number = exposure.split(' ').next().expect("a word").parse();
    let number: f32 = number.expect("a number");
    println!("exposure {number}");
    assert!(number <= EXPOSURE_AT_MOST, "{said}");
}
