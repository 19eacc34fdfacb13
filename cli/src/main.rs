//! The program `symbolon`.
fn main() {}
