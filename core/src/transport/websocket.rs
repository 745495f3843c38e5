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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::client::{generate_key, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{self, protocol::WebSocketConfig, Message};
use tokio_tungstenite::{client_async_with_config, WebSocketStream};

use super::endpoint::Endpoint;
use super::Stream;

const READ_BUFFER: usize = 4 << 10;
/// Payload of one frame of ours.
const FRAME: usize = 64 << 10;
const LEAST_LIMIT: usize = 1 << 20;
/// How much of a refusing answer's body is shown.
const BODY_SHOWN: usize = 200;
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
    stream: Stream,
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
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((frames, _)) => Ok(Stream::WebSocket(Box::new(WebSocket { frames, rest: Bytes::new() }))),
        Err(tungstenite::Error::Http(response)) => {
            // Credentials and paths do not heal by themselves.
            let error = failed(answer(&response));
            match response.status().as_u16() {
                401 | 403 => Err(Error { code: ErrorCode::BadCredentials, ..error }),
                _ => Err(error),
            }
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

fn request(endpoint: &Endpoint, path: &str, options: &Options) -> Result<Request, String> {
    let default = if endpoint.tls { ":443" } else { ":80" };
    let address = endpoint.address();
    // [RFC 9110, 7.2]: the default port is left out.
    let host = address.strip_suffix(default).unwrap_or(&address);
    let scheme = if endpoint.tls { "wss" } else { "ws" };
    let mut request = tungstenite::http::Request::builder()
        .uri(format!("{scheme}://{address}{path}"))
        .header("Host", host)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Sec-WebSocket-Protocol", "mqtt") // [MQTT-6.0.0-3]
        .body(())
        .map_err(|error| error.to_string())?;
    let own = headers(options).map_err(|error| error.detail.into_string())?;
    for name in own.keys() {
        request.headers_mut().remove(name);
    }
    for (name, value) in &own {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
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
fn answer(response: &Response) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let start = String::from_utf8_lossy(&body[..body.len().min(BODY_SHOWN)]);
    let status = response.status();
    match start.trim() {
        "" => format!("the server answered {status}"),
        start => format!("the server answered {status}: {start:?}"),
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
        assert_eq!(request.headers()["host"], "other");
        assert_eq!(request.headers().get_all("X-Key").iter().count(), 2);
        assert_eq!(request.headers()["sec-websocket-protocol"], "mqtt");
        assert_eq!(request.uri().path_and_query().unwrap(), "/p?q");
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
            request(&endpoint, "/", &Options::default()).unwrap().headers()["host"]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(host("ws://h"), "h");
        assert_eq!(host("ws://h:443"), "h:443");
        assert_eq!(host("wss://[::1]"), "[::1]");
    }
}
