//! The peer behind WebSocket. What is sent between two other steps of a script goes out as one message; every second
//! message is split into frames at places that mean nothing to MQTT, with a ping between them.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::Frame;
use tungstenite::{accept_hdr, Bytes, Error, HandshakeError, Message, WebSocket};

use super::{is_timeout, wait_for, Line, SAFETY};
use crate::stage::{Outcome, Read};

/// One connection.
#[derive(Debug)]
struct Ws {
    socket: WebSocket<TcpStream>,
    pending: Vec<u8>,
    messages: usize,
}

/// Makes the handshake. A client that leaves meanwhile is a connection that is closed.
pub(super) fn accept(stream: TcpStream) -> Outcome<Box<dyn Line>> {
    let left = stream.try_clone().map_err(|error| error.to_string())?;
    match accept_hdr(stream, agree) {
        Ok(socket) => Ok(Box::new(Ws { socket, pending: Vec::new(), messages: 0 })),
        Err(HandshakeError::Failure(Error::Io(error))) if !is_timeout(&error) => Ok(Box::new(left)),
        Err(HandshakeError::Failure(Error::Protocol(
            tungstenite::error::ProtocolError::HandshakeIncomplete,
        ))) => Ok(Box::new(left)),
        Err(error) => Err(format!("the handshake of WebSocket: {error}")),
    }
}

/// MQTT is what the client must ask for, and what it gets. [MQTT-6.0.0-3] [MQTT-6.0.0-4]
#[allow(clippy::result_large_err)] // tungstenite's signature
fn agree(
    request: &Request,
    mut response: Response,
) -> Result<Response, tungstenite::handshake::server::ErrorResponse> {
    if request.headers().get("Sec-WebSocket-Protocol").is_none_or(|protocol| protocol != "mqtt") {
        let mut refusal = tungstenite::http::Response::new(Some("the subprotocol is mqtt".to_owned()));
        *refusal.status_mut() = tungstenite::http::StatusCode::BAD_REQUEST;
        return Err(refusal);
    }
    response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    Ok(response)
}

impl Ws {
    /// The frames of the next message.
    fn frames(&mut self, mut bytes: Bytes) -> Vec<Frame> {
        self.messages += 1;
        if self.messages % 2 == 1 {
            return vec![Frame::message(bytes, OpCode::Data(Data::Binary), true)];
        }
        let first = bytes.split_to(1);
        let middle = bytes.split_to(bytes.len() / 2);
        vec![
            Frame::message(first, OpCode::Data(Data::Binary), false),
            Frame::ping("between"),
            Frame::message(middle, OpCode::Data(Data::Continue), false),
            Frame::message(bytes, OpCode::Data(Data::Continue), true),
        ]
    }
}

impl Line for Ws {
    fn send(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let _ = wait_for(self.socket(), SAFETY);
        let bytes = Bytes::from(std::mem::take(&mut self.pending));
        for frame in self.frames(bytes) {
            let _ = self.socket.write(Message::Frame(frame));
        }
        let _ = self.socket.flush();
    }

    fn read(&mut self, within: Duration) -> Outcome<Read> {
        let begin = Instant::now();
        loop {
            wait_for(self.socket(), within.saturating_sub(begin.elapsed()))?;
            match self.socket.read() {
                Ok(Message::Binary(bytes)) if !bytes.is_empty() => return Ok(Read::Bytes(bytes.into())),
                Ok(Message::Text(_)) => return Err("the client sent a text frame [MQTT-6.0.0-1]".into()),
                Ok(Message::Close(_)) => return Ok(Read::Closed),
                Ok(_) => {}
                Err(Error::Io(error)) if is_timeout(&error) => return Ok(Read::Nothing),
                Err(Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Ok(Read::Closed)
                }
                Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                    return Ok(Read::Closed);
                }
                Err(error) => return Err(format!("WebSocket: {error}")),
            }
        }
    }

    fn finish(&mut self) {
        self.flush();
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }

    fn socket(&self) -> &TcpStream {
        self.socket.get_ref()
    }
}
