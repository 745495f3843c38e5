//! The part of the builder that says how the server is reached, where a value is not the text of an option.

use remqtt_core::Secret;

use crate::arguments::{remqtt_bytes, remqtt_str};
use crate::config::{change, remqtt_config};
use crate::status::remqtt_status;

/// Sets the authorities that may vouch for the server: certificates in PEM, or one in DER. They count beside those of
/// `tls_ca_file` and `tls_ca_path`, and like these in place of the system's. A `ptr` of NULL takes them away. What is
/// wrong with them is told by the first attempt to connect.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_tls_ca(
    config: *mut remqtt_config,
    certificates: remqtt_bytes,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for bytes.
        config.options.tls_ca = unsafe { certificates.read_optional("certificates") }?;
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Sets our certificate, for servers that ask for one: in PEM with its chain, or one in DER, in place of
/// `tls_cert_file`. A `ptr` of NULL takes it away.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_tls_cert(
    config: *mut remqtt_config,
    certificate: remqtt_bytes,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for bytes.
        config.options.tls_cert = unsafe { certificate.read_optional("certificate") }?;
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Sets the private key of our certificate, PEM or DER, in place of `tls_key_file`; an encrypted one is opened with
/// `tls_key_password`. Never shown or logged. A `ptr` of NULL takes it away.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_set_tls_key(
    config: *mut remqtt_config,
    key: remqtt_bytes,
) -> remqtt_status {
    let set = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for bytes.
        config.options.tls_key = unsafe { key.read_optional("key") }?.map(Secret);
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, set) }
}

/// Adds a header to the WebSocket handshake. The headers of a name that were added replace the default ones of that
/// name, such as Host or Origin. What the handshake cannot do without is refused by remqtt_client_new.
#[no_mangle]
pub unsafe extern "C" fn remqtt_config_add_ws_header(
    config: *mut remqtt_config,
    name: remqtt_str,
    value: remqtt_str,
) -> remqtt_status {
    let add = |config: &mut remqtt_config| {
        // SAFETY: the header's rule for texts.
        let (name, value) = unsafe { (name.read("name")?, value.read("value")?) };
        config.options.ws_headers.push((name.to_string(), value.to_string()));
        Ok(())
    };
    // SAFETY: the header's rule for `config`.
    unsafe { change(config, add) }
}
