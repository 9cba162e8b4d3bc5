//! Frames of HTTP/2 (RFC 9113), made by hand: no client library would send these.

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The head of a GET of the catalogue: three pairs of the static table, and two of its names with
/// texts behind them (RFC 7541).
const HEAD: &[u8] = b"\x82\x86\x04\x0e/compute/plans\x01\x05abuse";

/// Preface and settings; `window` is how much of each answer may come.
pub(crate) fn greeting(window: Option<u32>) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    let mut settings = Vec::new();
    if let Some(window) = window {
        // SETTINGS_INITIAL_WINDOW_SIZE
        settings.extend_from_slice(&4_u16.to_be_bytes());
        settings.extend_from_slice(&window.to_be_bytes());
    }
    frame(&mut bytes, SETTINGS, 0, 0, &settings);
    bytes
}

/// A whole request.
pub(crate) fn request(bytes: &mut Vec<u8>, stream: u32) {
    frame(bytes, HEADERS, END_STREAM | END_HEADERS, stream, HEAD);
}

/// A request whose body never comes.
pub(crate) fn request_without_end(bytes: &mut Vec<u8>, stream: u32) {
    frame(bytes, HEADERS, END_HEADERS, stream, HEAD);
}

/// The begin of a head that goes on in [`continuation`].
pub(crate) fn endless_head(bytes: &mut Vec<u8>, stream: u32) {
    frame(bytes, HEADERS, END_STREAM, stream, HEAD);
}

/// More of a head: fields of 200 bytes that are not remembered.
pub(crate) fn continuation(bytes: &mut Vec<u8>, stream: u32) {
    let mut field = b"\x00\x01x\x7f\x49".to_vec();
    field.resize(field.len().saturating_add(0x7f + 0x49), b'a');
    frame(bytes, CONTINUATION, 0, stream, &field);
}

pub(crate) fn reset(bytes: &mut Vec<u8>, stream: u32) {
    // CANCEL
    frame(bytes, RST_STREAM, 0, stream, &8_u32.to_be_bytes());
}

pub(crate) fn ping(bytes: &mut Vec<u8>) {
    frame(bytes, PING, 0, 0, &[0; 8]);
}

pub(crate) fn settings(bytes: &mut Vec<u8>) {
    frame(bytes, SETTINGS, 0, 0, &[]);
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    bytes.extend(length.iter().skip(1));
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_their_heads() {
        let mut bytes = Vec::new();
        ping(&mut bytes);
        assert_eq!(bytes, [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = Vec::new();
        reset(&mut bytes, 5);
        assert_eq!(bytes, [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]);
        let mut bytes = Vec::new();
        continuation(&mut bytes, 1);
        assert_eq!(bytes.len(), 9 + 5 + 200);
    }
}
