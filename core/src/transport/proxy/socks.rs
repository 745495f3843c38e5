//! SOCKS5. Ours, because it is forty bytes of protocol and the crates for it bring their own connecting along.

use std::net::IpAddr;

use remqtt_proto::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Refusal;

const VERSION: u8 = 5;
const NO_CREDENTIALS: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks for a connection to the host. Afterwards the stream is that connection.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    port: u16,
    credentials: Option<&(Secret, Secret)>,
) -> Result<(), Refusal> {
    greet(stream, credentials).await?;
    stream.write_all(&request(host, port)?).await?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let tail = tail(head).map_err(Refusal::Garbage)?;
    if head[1] != 0 {
        return Err(refusal(head[1]));
    }
    let mut bound = [0; 258];
    stream.read_exact(&mut bound[..tail]).await?;
    Ok(())
}

/// Agrees on a method, and says who we are if the proxy wants to know.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: Option<&(Secret, Secret)>,
) -> Result<(), Refusal> {
    let hello: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NO_CREDENTIALS, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_CREDENTIALS],
    };
    stream.write_all(hello).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    match (answer, credentials) {
        ([VERSION, NO_CREDENTIALS], _) => Ok(()),
        ([VERSION, USER_AND_PASSWORD], Some((user, password))) => {
            let length = |secret: &Secret| u8::try_from(secret.0.len()).unwrap_or(u8::MAX);
            let mut login = vec![1, length(user)];
            login.extend_from_slice(&user.0);
            login.push(length(password));
            login.extend_from_slice(&password.0);
            stream.write_all(&login).await?;
            stream.read_exact(&mut answer).await?;
            match answer[1] {
                0 => Ok(()),
                _ => Err(Refusal::Refused("it does not accept user name and password".to_owned())),
            }
        }
        ([VERSION, 0xFF], None) => Err(Refusal::Refused("it wants user name and password".to_owned())),
        ([VERSION, _], _) => Err(Refusal::Refused("it wants another way to authenticate".to_owned())),
        _ => Err(Refusal::Garbage("it does not speak SOCKS5")),
    }
}

fn request(host: &str, port: u16) -> Result<Vec<u8>, Refusal> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length =
                u8::try_from(host.len()).map_err(|_| Refusal::Garbage("the host name is too long for it"))?;
            request.extend_from_slice(&[NAME, length]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// How many bytes of the answer follow its first five.
pub(in crate::transport) fn tail(head: [u8; 5]) -> Result<usize, &'static str> {
    match head {
        [VERSION, _, _, IPV4, _] => Ok(3 + 2),
        [VERSION, _, _, IPV6, _] => Ok(15 + 2),
        [VERSION, _, _, NAME, length] => Ok(usize::from(length) + 2),
        // Refusals need no address, and some proxies send none.
        [VERSION, 1..=8, ..] => Ok(0),
        _ => Err("its answer is no SOCKS5"),
    }
}

fn refusal(code: u8) -> Refusal {
    match code {
        2 => Refusal::Refused("not allowed by its rules".to_owned()),
        3 => Refusal::Unreachable("network unreachable".to_owned()),
        4 => Refusal::Unreachable("host unreachable".to_owned()),
        5 => Refusal::Unreachable("connection refused".to_owned()),
        6 => Refusal::Unreachable("time to live expired".to_owned()),
        code => Refusal::Unreachable(format!("general failure (SOCKS {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a proxy that says `says` whatever it hears; returns what it heard and how it ended.
    async fn play(
        says: &[u8],
        host: &str,
        credentials: Option<(&str, &str)>,
    ) -> (Vec<u8>, Result<(), Refusal>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1_024);
        theirs.write_all(says).await.unwrap();
        let credentials = credentials
            .map(|(user, password)| (Secret(user.to_owned().into()), Secret(password.to_owned().into())));
        let asked = ask(&mut ours, host, 1883, credentials.as_ref()).await;
        drop(ours);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        (heard, asked)
    }

    #[tokio::test]
    async fn a_name_is_sent_as_a_name_after_user_and_password() {
        let says = [5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (heard, asked) = play(&says, "host", Some(("me", "pw"))).await;
        asked.unwrap();
        assert_eq!(heard, b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x03\x04host\x07\x5B");
    }

    #[tokio::test]
    async fn addresses_of_both_families_are_sent_as_such() {
        let says = [5, 0, 5, 0, 0, 3, 1, b'x', 0, 0];
        let (heard, asked) = play(&says, "::1", None).await;
        asked.unwrap();
        assert_eq!(heard, [&[5, 1, 0, 5, 1, 0, 4][..], &[0; 15], &[1, 0x07, 0x5B]].concat());
        assert_eq!(play(&says, "1.2.3.4", None).await.0, [5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0x07, 0x5B]);
    }

    #[tokio::test]
    async fn refusals_are_told_apart_from_garbage() {
        let end = |says: &'static [u8]| async move { play(says, "host", None).await.1.unwrap_err() };
        assert!(matches!(end(&[5, 0xFF]).await, Refusal::Refused(_)));
        assert!(matches!(end(&[5, 0, 5, 2, 0, 1, 0]).await, Refusal::Refused(_)));
        assert!(matches!(end(&[5, 0, 5, 5, 0, 1, 0]).await, Refusal::Unreachable(_)));
        assert!(matches!(end(b"HTTP/1.1 400 Bad").await, Refusal::Garbage(_)));
        assert!(matches!(end(&[5, 0, 4, 0, 0, 1, 0]).await, Refusal::Garbage(_)));
    }
}
