//! TLS with rustls.
//!
//! A client has one [`Setup`] for as long as its options stay the same: it remembers the sessions of TLS, so that a
//! reconnect resumes one instead of making a new handshake, and it reads certificates and keys only once.

mod judge;
mod keys;

use std::io;
use std::sync::Arc;

use remqtt_proto::{ByteString, Bytes, Error, ErrorCode, Options, Secret, TlsVersion};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion};
use tokio::sync::OnceCell;
use tokio_rustls::client::TlsStream;
use tokio_rustls::TlsConnector;

use self::judge::{Judge, Names};
use super::endpoint::{Endpoint, Place};
use super::Stream;
use crate::runtime::PerGeneration;

/// The authorities of the system, read once per process: they are the same for all clients, and many.
static SYSTEM: PerGeneration<Arc<RootCertStore>> = PerGeneration::new();

/// What the connections of one client share.
#[derive(Debug)]
pub(crate) struct Setup {
    wanted: Wanted,
    made: OnceCell<Made>,
}

#[derive(Debug)]
struct Made {
    config: Arc<ClientConfig>,
    judge: Arc<Judge>,
}

/// A connection over TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(super) stream: TlsStream<Stream>,
    /// For messages.
    pub(super) address: Box<str>,
}

/// The options that the configuration is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    ca_file: ByteString,
    ca_path: ByteString,
    ca: Option<Bytes>,
    cert_file: ByteString,
    cert: Option<Bytes>,
    key_file: ByteString,
    key: Option<Secret>,
    key_password: Secret,
    alpn: ByteString,
    min_version: TlsVersion,
    ciphers: ByteString,
    names: Names,
    skip_verification: bool,
    servers: usize,
}

impl Setup {
    pub(crate) fn new(options: &Options) -> Setup {
        Setup { wanted: Wanted::of(options), made: OnceCell::new() }
    }

    /// True while the options are those that it was made for.
    pub(crate) fn serves(&self, options: &Options) -> bool {
        self.wanted == Wanted::of(options)
    }

    /// Makes the handshake.
    pub(crate) async fn connect(
        &self,
        stream: Stream,
        endpoint: &Endpoint,
        server_name: &str,
    ) -> Result<Stream, Error> {
        let Made { config, judge } = self.made.get_or_try_init(|| self.make()).await?;
        let name = expected_name(endpoint, server_name)?;
        judge.forget();
        match TlsConnector::from(config.clone()).connect(name, stream).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(Tls { stream, address: endpoint.address().into() }))),
            Err(error) => Err(failure(&error, judge, &endpoint.address())),
        }
    }

    /// Files are read and keys decrypted where blocking is allowed.
    async fn make(&self) -> Result<Made, Error> {
        let wanted = self.wanted.clone();
        let made = tokio::task::spawn_blocking(move || wanted.make()).await;
        made.map_err(|_| Error::new(ErrorCode::Panic, "the preparation of TLS ended unexpectedly"))?
    }
}

/// Checks what can be checked without reading a file.
pub(crate) fn check(options: &Options) -> Result<(), Error> {
    let wanted = Wanted::of(options);
    suites(&provider(), &wanted.ciphers)?;
    protocols(&wanted.alpn)?;
    Ok(())
}

/// The server's reason, if it ended the connection because of our certificate.
pub(crate) fn refusal_of_ours(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::AlertReceived(alert) = inner else { return None };
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => Some(format!(
            "the server wants a certificate of ours: {alert:?}; tls_cert_file and tls_key_file give one"
        )),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => Some(format!("the server refused our certificate: {alert:?}")),
        _ => None,
    }
}

fn failure(error: &io::Error, judge: &Judge, address: &str) -> Error {
    if let Some(why) = refusal_of_ours(error) {
        return Error::new(ErrorCode::CertificateRefused, format!("{address}: {why}"));
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let why = judge.recall().unwrap_or_else(|| format!("its certificate: {why}"));
            Error::new(ErrorCode::CertificateRefused, format!("{address}: {why}"))
        }
        Some(rustls::Error::InvalidMessage(why)) => {
            let text = format!("{address}: TLS: {why:?}; perhaps this port does not speak TLS");
            Error::new(ErrorCode::HandshakeFailed, text)
        }
        _ => Error::new(ErrorCode::HandshakeFailed, format!("{address}: TLS: {error}")),
    }
}

fn expected_name(endpoint: &Endpoint, server_name: &str) -> Result<ServerName<'static>, Error> {
    let host = match &endpoint.place {
        _ if !server_name.is_empty() => server_name,
        Place::Host(host, _) => host.trim_end_matches('.'),
        _ => "",
    };
    ServerName::try_from(host.to_owned()).map_err(|_| {
        let text =
            format!("servers: {host:?}: no certificate can be issued for this name; set tls_server_name");
        Error::new(ErrorCode::InvalidOption, text)
    })
}

impl Wanted {
    fn of(options: &Options) -> Wanted {
        Wanted {
            ca_file: options.tls_ca_file.clone(),
            ca_path: options.tls_ca_path.clone(),
            ca: options.tls_ca.clone(),
            cert_file: options.tls_cert_file.clone(),
            cert: options.tls_cert.clone(),
            key_file: options.tls_key_file.clone(),
            key: options.tls_key.clone(),
            key_password: options.tls_key_password.clone(),
            alpn: options.tls_alpn.clone(),
            min_version: options.tls_min_version,
            ciphers: options.tls_ciphers.clone(),
            names: match (options.tls_insecure_skip_hostname, options.tls_common_name) {
                (true, _) => Names::Ignored,
                (false, true) => Names::OrCommonName,
                (false, false) => Names::Required,
            },
            skip_verification: options.tls_insecure_skip_verification,
            servers: options.servers.len(),
        }
    }

    fn make(&self) -> Result<Made, Error> {
        let unusable = |error: rustls::Error| Error::new(ErrorCode::InvalidOption, format!("TLS: {error}"));
        let mut provider = provider();
        provider.cipher_suites = suites(&provider, &self.ciphers)?;
        let provider = Arc::new(provider);
        let judge = Arc::new(self.judge(&provider)?);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions())
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone());
        let mut config = match self.identity()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                Error::new(ErrorCode::InvalidOption, format!("tls_cert_file, tls_key_file: {error}"))
            })?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols(&self.alpn)?;
        // One entry for each server; the default of 256 is for programs that visit the whole world.
        config.resumption = Resumption::in_memory_sessions(self.servers.max(1) + 1);
        Ok(Made { config: Arc::new(config), judge })
    }

    fn judge(&self, provider: &Arc<CryptoProvider>) -> Result<Judge, Error> {
        if self.skip_verification {
            return Ok(Judge::blind(provider.clone()));
        }
        let given = self.authorities()?;
        let roots = match &given {
            Some(authorities) => Arc::new(store(authorities)?),
            None => SYSTEM.get_or_try_init(system)?.clone(),
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
        let verifier =
            verifier.map_err(|error| Error::new(ErrorCode::InvalidOption, format!("tls_ca: {error}")))?;
        Ok(Judge::new(verifier, provider.clone(), given.unwrap_or_default(), self.names))
    }

    /// The authorities that the options name; `None` if they leave it to the system.
    fn authorities(&self) -> Result<Option<Vec<CertificateDer<'static>>>, Error> {
        let mut all = Vec::new();
        if let Some(bytes) = &self.ca {
            all.extend(keys::certificates("tls_ca", bytes)?);
        }
        if !self.ca_file.is_empty() {
            all.extend(keys::certificates("tls_ca_file", &keys::file("tls_ca_file", &self.ca_file)?)?);
        }
        if !self.ca_path.is_empty() {
            all.extend(keys::folder("tls_ca_path", &self.ca_path)?);
        }
        let named = self.ca.is_some() || !self.ca_file.is_empty() || !self.ca_path.is_empty();
        Ok(named.then_some(all))
    }

    fn identity(&self) -> Result<Option<keys::Identity>, Error> {
        let cert = match &self.cert {
            Some(bytes) => bytes.clone(),
            None if self.cert_file.is_empty() => return Ok(None),
            None => keys::file("tls_cert_file", &self.cert_file)?.into(),
        };
        let chain = keys::certificates("tls_cert_file", &cert)?;
        let key = match &self.key {
            Some(Secret(bytes)) => bytes.clone(),
            None if self.key_file.is_empty() => cert,
            None => keys::file("tls_key_file", &self.key_file)?.into(),
        };
        Ok(Some((chain, keys::private_key(&key, &self.key_password)?)))
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        match self.min_version {
            TlsVersion::V12 => rustls::ALL_VERSIONS,
            TlsVersion::V13 => NEWEST,
        }
    }
}

#[cfg(feature = "aws-lc-rs")]
fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("TLS needs one of the features ring and aws-lc-rs");

fn system() -> Result<Arc<RootCertStore>, Error> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        let text = format!("the system trusts no certificate authority{why}; tls_ca_file names one");
        return Err(Error::new(ErrorCode::InvalidOption, text));
    }
    Ok(Arc::new(store(&found.certs)?))
}

fn store(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let (usable, unusable) = store.add_parsable_certificates(authorities.iter().cloned());
    if usable == 0 {
        let text = format!("tls_ca_file, tls_ca_path: no usable certificate authority, {unusable} unusable");
        return Err(Error::new(ErrorCode::InvalidOption, text));
    }
    Ok(store)
}

fn protocols(alpn: &str) -> Result<Vec<Vec<u8>>, Error> {
    let names: Vec<_> = alpn.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    match names.iter().find(|name| name.len() > 255) {
        Some(_) => Err(Error::new(ErrorCode::InvalidOption, "tls_alpn: a protocol has at most 255 bytes")),
        None => Ok(names.into_iter().map(|name| name.as_bytes().to_vec()).collect()),
    }
}

/// The suites of the list, in its order. As with OpenSSL, those of TLS 1.3 stay if it names none of them.
fn suites(provider: &CryptoProvider, list: &str) -> Result<Vec<SupportedCipherSuite>, Error> {
    let all = &provider.cipher_suites;
    let mut chosen = Vec::new();
    for name in list.split([':', ',', ' ']).filter(|name| !name.is_empty()) {
        let found = all.iter().find(|suite| plain(suite_name(suite)) == plain(name));
        chosen.push(*found.ok_or_else(|| {
            let known = all.iter().map(suite_name).collect::<Vec<_>>().join(" ");
            let text =
                format!("tls_ciphers: {name:?} is not supported; leave it empty, or choose of {known}");
            Error::new(ErrorCode::InvalidOption, text)
        })?);
    }
    if !chosen.iter().any(|suite| suite.tls13().is_some()) {
        let rest = all.iter().filter(|suite| chosen.is_empty() || suite.tls13().is_some());
        chosen = rest.copied().chain(chosen.iter().copied()).collect();
    }
    Ok(chosen)
}

fn suite_name(suite: &SupportedCipherSuite) -> &'static str {
    suite.suite().as_str().unwrap_or_default()
}

/// One spelling for the names of IANA, OpenSSL and rustls.
fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("TLS13_").or_else(|| name.strip_prefix("TLS_")).unwrap_or(&name);
    let name = name.replace("_WITH_", "-").replace('_', "-").replace("AES-", "AES");
    match name.strip_suffix("-SHA256") {
        Some(rest) if rest.ends_with("POLY1305") => rest.to_owned(),
        _ => name,
    }
}

#[cfg(fuzzing)]
pub(super) fn fuzz_key(bytes: &[u8], password: &Secret) {
    let _ = keys::certificates("tls_cert", bytes);
    let _ = keys::private_key(bytes, password);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cipher_suites_are_known_by_the_names_of_iana_and_of_openssl() {
        let names = |list| suites(&provider(), list).unwrap().iter().map(suite_name).collect::<Vec<_>>();
        let one = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
        assert_eq!(names("ECDHE-RSA-CHACHA20-POLY1305").last(), Some(&one));
        assert_eq!(names(one).len(), 4, "those of TLS 1.3 stay");
        assert_eq!(names("TLS_AES_128_GCM_SHA256"), ["TLS13_AES_128_GCM_SHA256"]);
        assert_eq!(names(""), provider().cipher_suites.iter().map(suite_name).collect::<Vec<_>>());
        let openssl = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256";
        assert!(names(openssl).ends_with(&[
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        ]));
    }

    #[test]
    fn an_unknown_cipher_suite_is_refused_with_the_known_ones() {
        for list in ["DES-CBC3-SHA", "HIGH", "PSK-AES128-GCM-SHA256"] {
            let error = suites(&provider(), list).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidOption);
            assert!(error.detail.contains("choose of TLS13_AES_256_GCM_SHA384"), "{error}");
        }
    }
}
