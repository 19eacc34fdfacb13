//! The program as its user meets it. Servers come up only where a test needs them, on free ports of 127.0.0.1.

mod client;
mod config;
mod exit_codes;
mod help;
mod init;
mod program;
mod token;
