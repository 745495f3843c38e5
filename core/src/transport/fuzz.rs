//! Doors for the fuzzer: every parser of this folder that reads somebody else's bytes.
#![allow(missing_docs)]

use super::endpoint::Endpoint;
use remqtt_proto::Secret;

use super::proxy::{self, Proxy};
use super::tls;

pub fn endpoint(text: &str) {
    if let Ok(endpoint) = Endpoint::parse(text) {
        // What was understood can be shown.
        let _ = endpoint.address();
    }
}

pub fn proxy_url(text: &str) {
    let _ = Proxy::from_url("proxy", text);
}

pub fn http_answer(bytes: &[u8]) {
    let _ = proxy::http_answer(bytes);
}

pub fn socks_answer(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk() {
        assert!(proxy::socks_tail(*head).unwrap_or(0) <= 258);
    }
}

pub fn private_key(bytes: &[u8]) {
    tls::fuzz_key(bytes, &Secret("hush".into()));
}
