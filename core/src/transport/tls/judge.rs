//! Judges the certificate of a server, and remembers why it refused one.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_name, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::Certificate;

/// Names in certificates are the peer's words.
const LONGEST_NAME: usize = 200;

/// What the names in a certificate count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// One of them has to be the host.
    Required,
    /// Or else the common name has to be it, if there is no list of names.
    OrCommonName,
    Ignored,
}

#[derive(Debug)]
pub(super) struct Judge {
    /// `None`: everything is accepted.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    /// The authorities that the application named. A server's own certificate may be among them.
    named: Vec<CertificateDer<'static>>,
    names: Names,
    /// The last refusal in words. A client makes one handshake at a time.
    refused: Mutex<Option<String>>,
}

impl Judge {
    pub(super) fn new(
        verifier: Arc<WebPkiServerVerifier>,
        provider: Arc<CryptoProvider>,
        named: Vec<CertificateDer<'static>>,
        names: Names,
    ) -> Judge {
        Judge { verifier: Some(verifier), provider, named, names, refused: Mutex::new(None) }
    }

    /// Accepts everybody.
    pub(super) fn blind(provider: Arc<CryptoProvider>) -> Judge {
        Judge {
            verifier: None,
            provider,
            named: Vec::new(),
            names: Names::Ignored,
            refused: Mutex::new(None),
        }
    }

    pub(super) fn forget(&self) {
        *self.refused.lock() = None;
    }

    /// Why the last certificate was refused.
    pub(super) fn recall(&self) -> Option<String> {
        self.refused.lock().take()
    }

    fn verdict(
        &self,
        verifier: &WebPkiServerVerifier,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        // The name is judged last, so this says that all the rest is right.
        let about_the_name = |error: &Error| {
            use CertificateError::{NotValidForName, NotValidForNameContext};
            matches!(error, Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
        };
        match verifier.verify_server_cert(certificate, chain, name, ocsp, now) {
            Ok(_) => Ok(()),
            Err(error) if about_the_name(&error) => {
                if self.names_suffice(certificate, name) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Err(error) if self.named.iter().any(|named| named == certificate) => {
                self.own_authority(certificate, name, now).map_err(|why| why.unwrap_or(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a certificate without the host in its list of names is good enough.
    fn names_suffice(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
        match (self.names, name) {
            (Names::Ignored, _) => true,
            (Names::OrCommonName, ServerName::DnsName(host)) => {
                let Ok(parsed) = Certificate::from_der(certificate) else { return false };
                let body = parsed.tbs_certificate();
                let has_list = !matches!(body.get_extension::<SubjectAltName>(), Ok(None));
                let common = body.subject().common_name().ok().flatten();
                !has_list && common.is_some_and(|common| common.value().eq_ignore_ascii_case(host.as_ref()))
            }
            _ => false,
        }
    }

    /// A server whose own certificate was named as an authority, as many private servers have it: nobody else
    /// vouches for it, but its time and its names count. The error is `None` if it cannot even be read.
    fn own_authority(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Option<Error>> {
        let parsed = Certificate::from_der(certificate).map_err(|_| None)?;
        let validity = parsed.tbs_certificate().validity();
        let now = now.as_secs();
        if now < validity.not_before.to_unix_duration().as_secs() {
            return Err(Some(CertificateError::NotValidYet.into()));
        }
        if now > validity.not_after.to_unix_duration().as_secs() {
            return Err(Some(CertificateError::Expired.into()));
        }
        if self.names_suffice(certificate, name) {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(certificate).map_err(|_| None)?;
        verify_server_name(&parsed, name).map_err(Some)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(verifier) = &self.verifier {
            let verdict = self.verdict(verifier, end_entity, intermediates, server_name, ocsp_response, now);
            if let Err(Error::InvalidCertificate(why)) = &verdict {
                *self.refused.lock() = Some(words(end_entity, server_name, why));
            }
            verdict?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whose certificate was refused, and why.
fn words(certificate: &CertificateDer<'_>, host: &ServerName<'_>, why: &CertificateError) -> String {
    let host = host.to_str();
    let Ok(parsed) = Certificate::from_der(certificate) else {
        return format!("the certificate for {host:?} cannot be read: {why}");
    };
    let body = parsed.tbs_certificate();
    let (from, until) = (body.validity().not_before, body.validity().not_after);
    let issuer = shown(body.issuer().to_string());
    let own = body.issuer() == body.subject();
    let reason = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("it expired on {until}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("it is not valid before {from}; is the clock right?")
        }
        // Authorities that are used as a server end in `Other`.
        CertificateError::UnknownIssuer | CertificateError::Other(_) if own => {
            "only itself vouches for it, so it is not trusted; tls_ca_file may name the certificate itself"
                .to_owned()
        }
        CertificateError::UnknownIssuer => {
            format!("its issuer {issuer:?} is not trusted; tls_ca_file names whom to trust")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().map(|name| plain_name(name)).collect();
            format!("it is not for this host but for {}", shown(names.join(", ")))
        }
        CertificateError::NotValidForName => "it is not for this host".to_owned(),
        other => other.to_string(),
    };
    format!("certificate {:?} for host {host:?}: {reason}", shown(body.subject().to_string()))
}

/// Names come as `DnsName("localhost")` and `IpAddress(127.0.0.1)`.
fn plain_name(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.trim_matches(|c| c == '"' || c == ')')
}

fn shown(mut name: String) -> String {
    if let Some((end, _)) = name.char_indices().nth(LONGEST_NAME) {
        name.truncate(end);
        name.push('…');
    }
    name
}
