//! MQTT over WebSocket: a stream of bytes out of binary frames, and back.
//!
//! A packet may lie in many frames and a frame may hold many packets [MQTT-6.0.0-2], so frames carry bytes here and
//! nothing else. tungstenite hands a message over when it is complete. What it may hold meanwhile is bounded by
//! `maximum_packet_size`, because that is what the engine holds anyway of a packet that is not complete, or by 1 MiB
//! if that is more, for servers that put several packets into one message.

use std::io;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use futures_util::{Sink, Stream as _};
use remqtt_proto::{Bytes, Error, ErrorCode, Options};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::WebSocketStream;

use super::endpoint::Endpoint;
use super::Stream;

const READ_BUFFER: usize = 4 << 10;
/// Payload of one frame of ours.
const FRAME: usize = 64 << 10;
const LEAST_LIMIT: usize = 1 << 20;
/// How much of a refusing answer's body is shown.
const BODY_SHOWN: usize = 200;
/// Bounds of the head of an answer.
const ANSWER_LIMIT: usize = 16 << 10;
const HEADERS: usize = 64;
/// Headers that the handshake cannot do without as they are.
const OURS: [&str; 4] = ["upgrade", "connection", "sec-websocket-key", "sec-websocket-version"];

#[derive(Debug)]
pub(crate) struct WebSocket {
    frames: WebSocketStream<Stream>,
    /// What was received and not read.
    rest: Bytes,
}

/// Checks the headers of the application.
pub(super) fn check(options: &Options) -> Result<(), Error> {
    headers(options).map(drop)
}

/// Makes the handshake.
pub(super) async fn connect(
    mut stream: Stream,
    endpoint: &Endpoint,
    path: &str,
    options: &Options,
) -> Result<Stream, Error> {
    let failed = |why: String| {
        Error::new(ErrorCode::HandshakeFailed, format!("{}: WebSocket: {why}", endpoint.address()))
    };
    let request = request(endpoint, path, options).map_err(&failed)?;
    let limit = LEAST_LIMIT.max(options.maximum_packet_size as usize);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    match handshake(&mut stream, request).await {
        Ok(rest) => {
            let frames = WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(config)).await;
            Ok(Stream::WebSocket(Box::new(WebSocket { frames, rest: Bytes::new() })))
        }
        // Credentials and paths do not heal by themselves.
        Err((401 | 403, why)) => Err(Error { code: ErrorCode::BadCredentials, ..failed(why) }),
        Err((_, why)) => Err(failed(why)),
    }
}

/// Asks, and gives what came behind the answer; or its status, 0 if it has none, and what is wrong.
///
/// Not tungstenite's handshake, which refuses an answer that names another subprotocol: servers that say mqttv3.1, or
/// whatever their example said, speak MQTT all the same, and paho lets them. [MQTT-6.0.0-4] is the server's duty.
async fn handshake(stream: &mut Stream, request: Request) -> Result<Vec<u8>, (u16, String)> {
    let broken = |error: io::Error| (0, error.to_string());
    stream.write_all(&request.text).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut taken = Vec::new();
    loop {
        let mut space = [httparse::EMPTY_HEADER; HEADERS];
        let mut answer = httparse::Response::new(&mut space);
        match answer.parse(&taken) {
            Ok(httparse::Status::Complete(length)) => {
                return check_answer(&answer, &taken[length..], &request.key)
                    .map(|()| taken[length..].to_vec());
            }
            Ok(httparse::Status::Partial) if taken.len() < ANSWER_LIMIT => {}
            _ => return Err((0, "the answer is not HTTP".into())),
        }
        if stream.read_buf(&mut taken).await.map_err(broken)? == 0 {
            return Err((0, "the connection ended before the answer".into()));
        }
    }
}

fn check_answer(answer: &httparse::Response<'_, '_>, rest: &[u8], key: &str) -> Result<(), (u16, String)> {
    let status = answer.code.unwrap_or_default();
    let values = |name: &'static str| {
        let named = answer.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    if status != 101 {
        return Err((status, refusal(status, answer.reason.unwrap_or_default(), rest)));
    }
    let is_upgrade =
        |value: String| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    let is_websocket = |value: String| value.eq_ignore_ascii_case("websocket");
    if !values("Connection").any(is_upgrade) || !values("Upgrade").any(is_websocket) {
        return Err((status, "the answer does not upgrade the connection".into()));
    }
    if values("Sec-WebSocket-Accept").next() != Some(derive_accept_key(key.as_bytes())) {
        return Err((status, "the answer has a wrong Sec-WebSocket-Accept".into()));
    }
    Ok(())
}

/// What is sent, and the key that the answer has to know.
struct Request {
    text: Vec<u8>,
    key: String,
}

fn request(endpoint: &Endpoint, path: &str, options: &Options) -> Result<Request, String> {
    let default = if endpoint.tls { ":443" } else { ":80" };
    let address = endpoint.address();
    // [RFC 9110, 7.2]: the default port is left out.
    let host = address.strip_suffix(default).unwrap_or(&address);
    if path.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
        return Err("the path has spaces or control characters".into());
    }
    let own = headers(options).map_err(|error| error.detail.into_string())?;
    let key = generate_key();
    let ours = [
        ("Host", host),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", &key),
        ("Sec-WebSocket-Protocol", "mqtt"), // [MQTT-6.0.0-3]
    ];
    let mut text = format!("GET {path} HTTP/1.1\r\n").into_bytes();
    for (name, value) in ours.iter().filter(|(name, _)| !own.contains_key(*name)) {
        text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    // In the case that they were given in: some servers look at it.
    for (name, value) in &options.ws_headers {
        text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    Ok(Request { text, key })
}

fn headers(options: &Options) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &options.ws_headers {
        let refused =
            |why: &str| Error::new(ErrorCode::InvalidOption, format!("ws_headers: {name:?}: {why}"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused("not the name of a header"))?;
        if OURS.contains(&key.as_str()) {
            return Err(refused("the handshake itself decides about it"));
        }
        let mut value =
            HeaderValue::from_str(value).map_err(|_| refused("its value has control characters"))?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

/// A refusal in words: status and the beginning of the body.
fn refusal(status: u16, reason: &str, body: &[u8]) -> String {
    let start = String::from_utf8_lossy(&body[..body.len().min(BODY_SHOWN)]);
    match start.trim() {
        "" => format!("the server answered {status} {reason}"),
        start => format!("the server answered {status} {reason}: {start:?}"),
    }
}

impl WebSocket {
    pub(super) fn below(&self) -> &Stream {
        self.frames.get_ref()
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            self.rest = match ready!(Pin::new(&mut self.frames).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Text(_))) => {
                    return refused("a text frame came, and MQTT is binary [MQTT-6.0.0-1]");
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return refused(&format!(
                        "the server closed the WebSocket: {} {:?}",
                        close.code, &*close.reason
                    ));
                }
                // tungstenite answers the close frame; the end of the stream follows.
                Some(Ok(Message::Close(None))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            };
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let frames = Pin::new(&mut self.frames);
        ready!(frames.poll_ready(cx)).map_err(io_error)?;
        let count = bytes.len().min(FRAME);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        Pin::new(&mut self.frames).start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_flush(cx).map_err(io_error)
    }

    /// Sends the close frame. The end of the layers below follows, so that TLS and TCP close in order too.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A server that closed first has had its answer already.
        let _ = ready!(Pin::new(&mut self.frames).poll_close(cx));
        Pin::new(self.frames.get_mut()).poll_shutdown(cx)
    }
}

fn refused(why: &str) -> Poll<io::Result<()>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)))
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, format!("WebSocket: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(headers: &[(&str, &str)]) -> Options {
        let ws_headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Options { ws_headers, ..Options::default() }
    }

    #[test]
    fn headers_of_the_application_are_added_or_replace_the_default() {
        let endpoint = Endpoint::parse("wss://host/p?q").unwrap();
        let options = options(&[("Host", "other"), ("X-Key", "1"), ("x-key", "2")]);
        let request = request(&endpoint, "/p?q", &options).unwrap();
        let text = String::from_utf8(request.text).unwrap();
        assert!(text.starts_with("GET /p?q HTTP/1.1\r\n") && text.ends_with("x-key: 2\r\n\r\n"), "{text}");
        for line in ["Host: other", "X-Key: 1", "x-key: 2", "Sec-WebSocket-Protocol: mqtt"] {
            assert_eq!(text.lines().filter(|one| *one == line).count(), 1, "{text}");
        }
        assert_eq!(text.matches("Host:").count(), 1, "{text}");
    }

    #[test]
    fn headers_that_would_break_the_handshake_are_refused() {
        for (name, value) in [("Upgrade", "x"), ("a b", "x"), ("a", "x\r\nb: c")] {
            assert_eq!(check(&options(&[(name, value)])).unwrap_err().code, ErrorCode::InvalidOption);
        }
    }

    #[test]
    fn the_host_header_leaves_the_default_port_out() {
        let host = |url| {
            let endpoint = Endpoint::parse(url).unwrap();
            let text = String::from_utf8(request(&endpoint, "/", &Options::default()).unwrap().text).unwrap();
            text.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap().to_owned()
        };
        assert_eq!(host("ws://h"), "h");
        assert_eq!(host("ws://h:443"), "h:443");
        assert_eq!(host("wss://[::1]"), "[::1]");
    }
}
