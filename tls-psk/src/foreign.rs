//! The calls into OpenSSL that its Rust binding lacks (OpenSSL 3.2 or later), each wrapped in a safe function.

use crate::{PreSharedKey, lookup::Handshake};
use foreign_types_shared::ForeignTypeRef;
use openssl::{
    error::ErrorStack,
    pkey::{PKeyRef, Public},
    ssl::{SslContextBuilder, SslRef},
    x509::X509StoreContextRef,
};
use openssl_sys::{EVP_PKEY, SSL, SSL_CIPHER, SSL_CTX, SSL_SESSION, X509_STORE_CTX};
use std::{
    ffi::{c_int, c_uchar, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

/// `X509_V_ERR_RPK_UNTRUSTED`: no trust anchor for a raw public key. We have none; the caller judges the key.
const RPK_UNTRUSTED: c_int = 95;
/// `TLSEXT_cert_type_rpk` and `TLSEXT_cert_type_x509` (RFC 7250 §8).
const RAW_PUBLIC_KEY: c_uchar = 2;
const X509: c_uchar = 0;
/// `TLS1_3_VERSION`.
const TLS13_VERSION: c_int = 0x0304;
/// `TLS_AES_128_GCM_SHA256`: which suite with SHA-256 is named does not matter, only the hash does.
const SHA256_SUITE: [c_uchar; 2] = [0x13, 0x01];

type FindSession =
    unsafe extern "C" fn(*mut SSL, *const c_uchar, usize, *mut *mut SSL_SESSION) -> c_int;
type UseSession = unsafe extern "C" fn(
    *mut SSL,
    *const c_void,
    *mut *const c_uchar,
    *mut usize,
    *mut *mut SSL_SESSION,
) -> c_int;

#[expect(unsafe_code, reason = "declares functions of OpenSSL")]
// SAFETY: the declarations are those of openssl/ssl.h and openssl/x509_vfy.h, 3.2 to 3.6.
unsafe extern "C" {
    fn SSL_CTX_set_psk_find_session_callback(context: *mut SSL_CTX, callback: Option<FindSession>);
    fn SSL_CTX_set_psk_use_session_callback(context: *mut SSL_CTX, callback: Option<UseSession>);
    fn SSL_SESSION_new() -> *mut SSL_SESSION;
    fn SSL_SESSION_set1_master_key(
        session: *mut SSL_SESSION,
        key: *const c_uchar,
        length: usize,
    ) -> c_int;
    fn SSL_SESSION_set_cipher(session: *mut SSL_SESSION, cipher: *const SSL_CIPHER) -> c_int;
    fn SSL_SESSION_set_protocol_version(session: *mut SSL_SESSION, version: c_int) -> c_int;
    fn SSL_CIPHER_find(ssl: *mut SSL, suite: *const c_uchar) -> *const SSL_CIPHER;
    fn SSL_CTX_set1_client_cert_type(
        context: *mut SSL_CTX,
        types: *const c_uchar,
        length: usize,
    ) -> c_int;
    fn SSL_CTX_set1_server_cert_type(
        context: *mut SSL_CTX,
        types: *const c_uchar,
        length: usize,
    ) -> c_int;
    fn SSL_get0_peer_rpk(ssl: *const SSL) -> *mut EVP_PKEY;
    fn X509_STORE_CTX_get0_rpk(context: *const X509_STORE_CTX) -> *mut EVP_PKEY;
}

/// A Server on this context asks the handshake's [`crate::KeySource`] for TLS 1.3 keys.
#[expect(unsafe_code, reason = "a call the binding lacks")]
pub(crate) fn find_keys(context: &mut SslContextBuilder) {
    // SAFETY: the context lives; the callback keeps to what OpenSSL expects of it.
    unsafe { SSL_CTX_set_psk_find_session_callback(context.as_ptr(), Some(find_session)) }
}

/// A client on this context offers the handshake's own TLS 1.3 key.
#[expect(unsafe_code, reason = "a call the binding lacks")]
pub(crate) fn use_key(context: &mut SslContextBuilder) {
    // SAFETY: as above.
    unsafe { SSL_CTX_set_psk_use_session_callback(context.as_ptr(), Some(use_session)) }
}

/// A Server on this context asks for a raw public key, and shows its certificate or its own raw public key, as the client wishes.
#[expect(unsafe_code, reason = "two calls the binding lacks")]
pub(crate) fn ask_for_raw_keys(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    let (client, server) = ([RAW_PUBLIC_KEY], [RAW_PUBLIC_KEY, X509]);
    // SAFETY: the context lives; OpenSSL copies the lists.
    let done = unsafe {
        SSL_CTX_set1_client_cert_type(context.as_ptr(), client.as_ptr(), client.len()) == 1
            && SSL_CTX_set1_server_cert_type(context.as_ptr(), server.as_ptr(), server.len()) == 1
    };
    if done { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Whether what is verified is a raw public key that fails for want of a trust anchor alone.
#[expect(unsafe_code, reason = "a call the binding lacks")]
pub(crate) fn is_untrusted_raw_key(context: &X509StoreContextRef) -> bool {
    // SAFETY: the context lives, and the key is only compared with null.
    let key = unsafe { X509_STORE_CTX_get0_rpk(context.as_ptr()) };
    !key.is_null() && context.error().as_raw() == RPK_UNTRUSTED
}

/// The raw public key the peer showed, as a `SubjectPublicKeyInfo` in DER.
#[expect(unsafe_code, reason = "a call the binding lacks")]
pub(crate) fn peer_raw_key(ssl: &SslRef) -> Result<Option<Vec<u8>>, ErrorStack> {
    // SAFETY: the connection lives, and the key is borrowed from it for no longer than this function.
    let key = unsafe {
        let key = SSL_get0_peer_rpk(ssl.as_ptr());
        if key.is_null() {
            return Ok(None);
        }
        PKeyRef::<Public>::from_ptr(key)
    };
    key.public_key_to_der().map(Some)
}

/// `SSL_psk_find_session_cb_func`: 1 with a session, 1 with none (no such identity), or 0 (our own failure).
#[expect(unsafe_code, reason = "OpenSSL calls it with raw pointers")]
unsafe extern "C" fn find_session(
    ssl: *mut SSL,
    identity: *const c_uchar,
    length: usize,
    found: *mut *mut SSL_SESSION,
) -> c_int {
    let session = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: OpenSSL calls with a connection that nobody else uses, and with the identity of `length` bytes (not null: even an
        // empty one points into the message). Both live longer than this call.
        let (connection, identity) = unsafe {
            (
                SslRef::from_ptr_mut(ssl),
                std::slice::from_raw_parts(identity, length),
            )
        };
        let lookup = Handshake::of(connection)?.lookup.as_mut()?;
        match lookup.ask(identity).ok()? {
            Some(key) => session(connection, &key),
            None => Some(ptr::null_mut()),
        }
    }));
    let (session, result) = match session {
        Ok(Some(session)) => (session, 1),
        Ok(None) | Err(_) => (ptr::null_mut(), 0),
    };
    // SAFETY: OpenSSL gives a place for one pointer, and takes over the reference.
    unsafe { *found = session };
    result
}

/// `SSL_psk_use_session_cb_func`. `_hash` is the one chosen after a `HelloRetryRequest`; all suites of our contexts have SHA-256.
#[expect(unsafe_code, reason = "OpenSSL calls it with raw pointers")]
unsafe extern "C" fn use_session(
    ssl: *mut SSL,
    _hash: *const c_void,
    identity: *mut *const c_uchar,
    length: *mut usize,
    used: *mut *mut SSL_SESSION,
) -> c_int {
    let own = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: OpenSSL calls with a connection that nobody else uses.
        let connection = unsafe { SslRef::from_ptr_mut(ssl) };
        let (identity, key) = Handshake::of(connection)?.own.clone()?;
        // The connection holds another reference to the identity, so its bytes stay where they are.
        Some((
            identity.as_ptr(),
            identity.len(),
            session(connection, &key)?,
        ))
    }));
    let Ok(Some((bytes, count, session))) = own else {
        return 0;
    };
    // SAFETY: OpenSSL gives a place for each; it copies the identity and takes over the reference to the session.
    unsafe {
        *identity = bytes;
        *length = count;
        *used = session;
    }
    1
}

/// A session that stands for an external key; the caller has the one reference. `None` where OpenSSL fails.
#[expect(unsafe_code, reason = "calls the binding lacks")]
fn session(ssl: &SslRef, key: &PreSharedKey) -> Option<*mut SSL_SESSION> {
    let key = key.bytes();
    // SAFETY: the connection lives, the key is copied, and a session that is not handed on is freed.
    unsafe {
        let session = SSL_SESSION_new();
        if session.is_null() {
            return None;
        }
        let cipher = SSL_CIPHER_find(ssl.as_ptr(), SHA256_SUITE.as_ptr());
        if !cipher.is_null()
            && SSL_SESSION_set1_master_key(session, key.as_ptr(), key.len()) == 1
            && SSL_SESSION_set_cipher(session, cipher) == 1
            && SSL_SESSION_set_protocol_version(session, TLS13_VERSION) == 1
        {
            return Some(session);
        }
        openssl_sys::SSL_SESSION_free(session);
        None
    }
}
