//! `--help` of every command.

use crate::program::symbolon;

const COMMANDS: &[&str] = &[
    "",
    "init",
    "up",
    "as",
    "broker",
    "reload",
    "client",
    "client add",
    "client list",
    "client show",
    "client remove",
    "policy",
    "policy add",
    "policy list",
    "policy remove",
    "group",
    "group add",
    "group remove",
    "group list",
    "group members",
    "owner",
    "owner add",
    "owner remove",
    "owner list",
    "why",
    "import",
    "audit",
    "audit list",
    "audit verify",
    "account",
    "account add",
    "account list",
    "account password",
    "account certificate",
    "account remove",
    "openapi",
    "rs",
    "rs list",
    "rs show",
    "rs add",
    "rs set",
    "rs remove",
    "rs group",
    "rs group add",
    "rs group list",
    "rs group remove",
    "token",
    "token get",
    "token show",
    "token list",
    "token revoke",
    "pub",
    "sub",
    "demo",
    "store",
    "store check",
    "store export",
    "config",
    "config check",
];

#[test]
fn every_command_has_help() {
    for command in COMMANDS {
        let mut words: Vec<&str> = command.split_whitespace().collect();
        words.push("--help");
        let help = symbolon(&words).success();
        assert!(help.contains("Usage: symbolon"), "{command}: {help}");
    }
}

#[test]
fn every_command_is_documented() {
    let page = include_str!("../../../docs/commands.md");
    for command in COMMANDS.iter().filter(|command| !command.is_empty()) {
        assert!(page.contains(&format!("symbolon {command}")), "{command}");
    }
}

/// The flags of `mosquitto_pub` and `mosquitto_sub` 2.0, as their manual pages have them.
const MOSQUITTO: &[(&str, &[&str])] = &[
    (
        "pub",
        &[
            "-f",
            "-l",
            "-m",
            "-n",
            "-r",
            "-s",
            "-M",
            "--repeat",
            "--repeat-delay",
        ],
    ),
    (
        "sub",
        &[
            "-C",
            "-E",
            "-F",
            "-N",
            "-R",
            "-T",
            "-U",
            "-v",
            "-W",
            "--pretty",
            "--random-filter",
            "--remove-retained",
            "--retained-only",
            "--retain-as-published",
        ],
    ),
];
const BOTH: &[&str] = &[
    "-c",
    "-d",
    "-D",
    "-h",
    "-i",
    "-I",
    "-k",
    "-L",
    "-p",
    "-P",
    "-q",
    "-t",
    "-u",
    "-V",
    "-x",
    "--cafile",
    "--capath",
    "--nodelay",
    "--quiet",
    "--tls-alpn",
    "--tls-use-os-certs",
    "--will-payload",
    "--will-qos",
    "--will-retain",
    "--will-topic",
];

#[test]
fn the_flags_of_mosquitto_are_there() {
    for (command, flags) in MOSQUITTO {
        let help = symbolon(&[command, "--help"]).success();
        for flag in flags.iter().chain(BOTH) {
            let listed = help.lines().map(str::trim_start).any(|line| {
                let mut names = line.split([',', ' ', '<']).filter(|word| !word.is_empty());
                names.next() == Some(flag)
            });
            assert!(listed, "{command} {flag}: {help}");
        }
    }
}
