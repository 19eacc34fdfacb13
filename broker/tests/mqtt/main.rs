//! The broker from outside: real sockets.

#[cfg(test)]
mod aliases;
#[cfg(test)]
mod authority;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod falls;
#[cfg(test)]
mod fullness;
#[cfg(test)]
mod introspection;
#[cfg(test)]
mod known;
#[cfg(test)]
mod management;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod resumption;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod several;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod system;
#[cfg(test)]
mod websocket;
