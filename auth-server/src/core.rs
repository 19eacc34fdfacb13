//! What the authorization server decides: values and a clock reading in, values out. Nothing here reads a socket, a file or a clock.
//!
//! | module | decides |
//! |---|---|
//! | [`audit`] | whether the audit log is whole |
//! | [`authenticate`] | who asks |
//! | [`failures`] | who has to wait before they may try a secret again |
//! | [`network`] | which addresses count as one |
//! | [`recent`] | a table that forgets what was not touched for longest |
//! | [`refusals`] | which refusals are recorded one by one |
//! | [`registration`] | what a client that registers itself is |
//! | [`throttling`] | who guesses at secrets |
//! | [`replay`] | whether an assertion or a proof was seen before |
//! | [`pacing`] | whether somebody asks too often |
//! | [`policy`] | which resource server, and what the client may do there |
//! | [`possession`] | which proof-of-possession key the token gets |
//! | [`grant`] | what the token says |
//! | [`minting`] | how it is made |
//! | [`certificate`] | what a client's certificate says |
//! | [`shared_keys`] | which of the keys shared with a resource server is used when |
//! | [`revocations`] | what is answered about revoked tokens |

pub(crate) mod audit;
pub(crate) mod authenticate;
pub(crate) mod certificate;
pub(crate) mod failures;
pub(crate) mod grant;
pub(crate) mod minting;
pub(crate) mod network;
pub(crate) mod pacing;
pub(crate) mod policy;
pub(crate) mod possession;
pub(crate) mod recent;
pub(crate) mod refusals;
pub(crate) mod registration;
pub(crate) mod replay;
pub(crate) mod revocations;
pub(crate) mod shared_keys;
pub(crate) mod throttling;
