//! HTTP CONNECT.

use base64ct::{Base64, Encoding};
use remqtt_proto::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Refusal, LONGEST_ANSWER};
use crate::transport::endpoint::host_port;

const MOST_HEADERS: usize = 64;

/// Asks for a connection to the host. Afterwards the stream is that connection.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    port: u16,
    credentials: Option<&(Secret, Secret)>,
) -> Result<(), Refusal> {
    let target = host_port(host, port);
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((user, password)) = credentials {
        let pair = [&user.0[..], b":", &password.0].concat();
        request += &format!("Proxy-Authorization: Basic {}\r\n", Base64::encode_string(&pair));
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    loop {
        let mut chunk = [0; 1_024];
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(Refusal::Garbage("it closed the connection without an answer"));
        }
        head.extend_from_slice(&chunk[..count]);
        let Some(answer) = answer(&head).map_err(Refusal::Garbage)? else { continue };
        return match answer.status {
            // Behind the proxy we speak first: nobody has anything to say yet.
            200..=299 if answer.length < head.len() => Err(Refusal::Garbage("it sent more than its answer")),
            200..=299 => Ok(()),
            // tinyproxy says 500 where others say 502.
            status @ 500..=599 => Err(Refusal::Unreachable(format!("{status} {}", answer.reason))),
            status => Err(Refusal::Refused(format!("{status} {}", answer.reason))),
        };
    }
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport) struct Answer {
    status: u16,
    reason: String,
    length: usize,
}

/// The answer, once its head is complete.
pub(in crate::transport) fn answer(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST_ANSWER => {
            let reason = response.reason.unwrap_or_default().chars().take(100).collect();
            Ok(Some(Answer { status: response.code.unwrap_or_default(), reason, length }))
        }
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_ANSWER => Ok(None),
        Ok(_) => Err("its answer does not end"),
        Err(_) => Err("its answer is no HTTP"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_its_head_is_complete() {
        let whole = b"HTTP/1.1 407 Who are you\r\nA: b\r\n\r\n<html>";
        for end in 0..whole.len() - 6 {
            assert_eq!(answer(&whole[..end]), Ok(None));
        }
        let length = whole.len() - 6;
        assert_eq!(answer(whole), Ok(Some(Answer { status: 407, reason: "Who are you".into(), length })));
    }

    #[test]
    fn an_answer_that_does_not_end_or_is_no_http_is_refused() {
        let mut endless = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        endless.resize(LONGEST_ANSWER, b'a');
        assert_eq!(answer(&endless), Err("its answer does not end"));
        assert_eq!(answer(b"SSH-2.0-OpenSSH\r\n"), Err("its answer is no HTTP"));
        let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(answer(headers.as_bytes()), Err("its answer is no HTTP"));
    }
}
