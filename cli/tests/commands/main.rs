//! The program as its user meets it. Servers come up only where a test needs them, on free ports of 127.0.0.1.

#[cfg(test)]
mod client;
#[cfg(test)]
mod config;
#[cfg(test)]
#[cfg(unix)]
mod credentials;
#[cfg(test)]
mod exit_codes;
#[cfg(test)]
mod help;
#[cfg(test)]
mod init;
#[cfg(test)]
mod management;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod program;
#[cfg(test)]
#[cfg(unix)]
mod reload;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rs;
#[cfg(test)]
#[cfg(unix)]
mod signals;
#[cfg(test)]
mod store;
#[cfg(test)]
mod token;
