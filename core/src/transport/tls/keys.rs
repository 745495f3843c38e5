//! Certificates and private keys, from files or from memory, in PEM or DER.

use pkcs8::der::{Decode, Document};
use pkcs8::EncryptedPrivateKeyInfoRef;
use remqtt_proto::{Error, ErrorCode, Secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate chain, our own first, and the key of the first.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// Reads the file that an option names.
pub(super) fn file(option: &str, path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| refused(option, format!("{path:?}: {error}")))
}

/// The certificates of all files of a folder.
pub(super) fn folder(option: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let entries = std::fs::read_dir(path).map_err(|error| refused(option, format!("{path:?}: {error}")))?;
    let mut all = Vec::new();
    for entry in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        // Folders of certificates also hold lists of revocations and notes.
        let content = std::fs::read(entry).unwrap_or_default();
        all.extend(CertificateDer::pem_slice_iter(&content).flatten());
    }
    Ok(all)
}

/// The certificates of a PEM text, or the one that DER holds.
pub(super) fn certificates(option: &str, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    if !is_pem(bytes) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let read = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    match read.map_err(|error| refused(option, error.to_string()))? {
        none if none.is_empty() => Err(refused(option, "there is no certificate in it".to_owned())),
        all => Ok(all),
    }
}

/// The private key, decrypted if need be. The errors do not repeat any of it.
pub(super) fn private_key(bytes: &[u8], password: &Secret) -> Result<PrivateKeyDer<'static>, Error> {
    let refused = |why: &str| refused("tls_key_file", why.to_owned());
    let text = if is_pem(bytes) { String::from_utf8_lossy(bytes) } else { Default::default() };
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(refused(
            "the key is encrypted in the old way of OpenSSL, which is weak; convert it: \
             openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out new.pem",
        ));
    }
    if let Some(begin) = text.find(ENCRYPTED) {
        let end = text[begin..].find(ENCRYPTED_END).map(|end| begin + end + ENCRYPTED_END.len());
        let section = end.and_then(|end| Document::from_pem(&text[begin..end]).ok());
        let (_, encrypted) = section.ok_or_else(|| refused("the encrypted key is damaged"))?;
        return decrypted(encrypted.as_bytes(), password);
    }
    if !text.is_empty() {
        return PrivateKeyDer::from_pem_slice(bytes)
            .map_err(|_| refused("there is no private key in PKCS#8, PKCS#1 or SEC1 form in it"));
    }
    if EncryptedPrivateKeyInfoRef::from_der(bytes).is_ok() {
        return decrypted(bytes, password);
    }
    PrivateKeyDer::try_from(bytes.to_vec()).map_err(|_| refused("neither PEM nor DER of a private key"))
}

fn decrypted(encrypted: &[u8], password: &Secret) -> Result<PrivateKeyDer<'static>, Error> {
    let refused = |why: &str| refused("tls_key_file", why.to_owned());
    if password.0.is_empty() {
        return Err(refused("the key is encrypted and tls_key_password is empty"));
    }
    let info = EncryptedPrivateKeyInfoRef::from_der(encrypted).map_err(|_| {
        refused("the key is damaged, or encrypted in a way that is not supported; PBES2 with AES is: openssl pkcs8 -topk8 -v2 aes-256-cbc")
    })?;
    let plain = info.decrypt(&password.0).map_err(|_| refused("tls_key_password does not open the key"))?;
    Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn refused(option: &str, why: String) -> Error {
    Error::new(ErrorCode::InvalidOption, format!("{option}: {why}"))
}
