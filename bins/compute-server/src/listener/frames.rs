//! Frames of HTTP/2 that ask for nothing, counted as they come in.
//!
//! A ping, a setting or an empty piece of a body costs its sender a few bytes and us a look, an answer, and a place in a
//! queue (CVE-2019-9512, -9515, -9518). `h2` bounds resets; of these it only keeps order.

/// How a client begins that speaks HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length, type, flags and stream (RFC 9113 section 4.1).
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(super) struct Frames(State);

#[derive(Debug)]
enum State {
    /// So much of the preface has come.
    Greeting(usize),
    /// Of HTTP/1 nothing is counted.
    Other,
    /// So much of the next header has come.
    Header([u8; HEADER], usize),
    /// So much of a frame is still to come.
    Payload(usize),
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self(State::Greeting(0))
    }

    /// Reads on; how many frames that ask for nothing began.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> u32 {
        let mut idle = 0_u32;
        while let Some((&first, rest)) = bytes.split_first() {
            match &mut self.0 {
                State::Other => return idle,
                State::Greeting(known) => {
                    if PREFACE.get(*known) != Some(&first) {
                        self.0 = State::Other;
                        return idle;
                    }
                    *known = known.saturating_add(1);
                    if *known == PREFACE.len() {
                        self.0 = State::Header([0; HEADER], 0);
                    }
                    bytes = rest;
                }
                State::Header(header, known) => {
                    if let Some(place) = header.get_mut(*known) {
                        *place = first;
                    }
                    *known = known.saturating_add(1);
                    if *known == HEADER {
                        let (length, asks) = judge(*header);
                        idle = idle.saturating_add(u32::from(!asks));
                        self.0 = State::after(length);
                    }
                    bytes = rest;
                }
                State::Payload(left) => {
                    let part = bytes.len().min(*left);
                    self.0 = State::after(left.saturating_sub(part));
                    bytes = bytes.get(part..).unwrap_or_default();
                }
            }
        }
        idle
    }
}

impl State {
    /// What comes when so much of a frame is left.
    const fn after(left: usize) -> Self {
        match left {
            0 => Self::Header([0; HEADER], 0),
            left => Self::Payload(left),
        }
    }
}

/// The length of a frame, and whether it brings a request on.
const fn judge(header: [u8; HEADER]) -> (usize, bool) {
    let [high, middle, low, kind, flags, ..] = header;
    let length = usize::from_be_bytes([0, 0, 0, 0, 0, high, middle, low]);
    let is_empty = length == 0 && flags & END_STREAM == 0;
    let asks = matches!(kind, DATA | HEADERS | CONTINUATION) && !is_empty;
    (length, asks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn idle_of(bytes: &[u8]) -> u32 {
        Frames::new().read(bytes)
    }

    #[test]
    fn what_brings_a_request_on_is_not_counted() {
        let mut bytes = PREFACE.to_vec();
        for (kind, flags, payload, expected) in [
            (4, 0, &b""[..], 1),
            (HEADERS, 4, b"head", 0),
            (DATA, 0, b"body", 0),
            (DATA, END_STREAM, b"", 0),
            (DATA, 0, b"", 1),
            (CONTINUATION, 0, b"", 1),
            (6, 0, b"pingping", 1),
            (8, 0, b"wind", 1),
            (99, 0, b"", 1),
        ] {
            let before = idle_of(&bytes);
            bytes.extend(frame(kind, flags, payload));
            assert_eq!(idle_of(&bytes), before + expected, "{kind}");
        }
    }

    #[test]
    fn http_1_is_not_counted() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/1.1", b"PO"] {
            assert_eq!(idle_of(&[bytes, &[0; 900]].concat()), 0);
        }
    }

    proptest! {
        // However the bytes are cut, the count is the same.
        #[test]
        fn pieces_make_no_difference(
            frames in prop::collection::vec((0_u8..12, 0_u8..2, prop::collection::vec(any::<u8>(), 0..40)), 0..40),
            pieces in prop::collection::vec(1_usize..50, 1..200),
        ) {
            let mut bytes = PREFACE.to_vec();
            for (kind, flags, payload) in frames {
                bytes.extend(frame(kind, flags, &payload));
            }
            let whole = idle_of(&bytes);
            let (mut split, mut counted, mut rest) = (Frames::new(), 0, bytes.as_slice());
            for piece in pieces.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, left) = rest.split_at(piece.min(rest.len()));
                counted += split.read(part);
                rest = left;
            }
            prop_assert_eq!(counted, whole);
        }
    }
}
