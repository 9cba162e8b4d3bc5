//! Base64url as the scheme writes it, and the tolerant way in which it reads what clients write.

use base64_simd::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// Without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// Either alphabet, padded or not, without stray bits: published clients differ, and all of them are
/// understood by all published servers.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (url_safe, standard) = if text.ends_with(b"=") {
        (URL_SAFE, STANDARD)
    } else {
        (URL_SAFE_NO_PAD, STANDARD_NO_PAD)
    };
    url_safe
        .decode_to_vec(text)
        .or_else(|_| standard.decode_to_vec(text))
        .ok()
}

/// Whether [`decode`] would read this.
pub(crate) fn is_base64(text: &[u8]) -> bool {
    let (url_safe, standard) = if text.ends_with(b"=") {
        (URL_SAFE, STANDARD)
    } else {
        (URL_SAFE_NO_PAD, STANDARD_NO_PAD)
    };
    url_safe.check(text).is_ok() || standard.check(text).is_ok()
}

/// Exactly what [`encode`] writes, so that one value has one text.
pub(crate) fn decode_strict(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_read_with_and_without_padding() {
        for text in ["-_8", "-_8=", "+/8", "+/8="] {
            assert_eq!(decode(text.as_bytes()).unwrap(), [0xfb, 0xff], "{text}");
            assert!(is_base64(text.as_bytes()), "{text}");
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn stray_bits_blanks_and_mixed_alphabets_are_refused() {
        for text in ["-_9", "-_8==", "-/8", "-_ 8", "A", "-_8\0"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
            assert!(!is_base64(text.as_bytes()), "{text}");
        }
        for text in ["-_8=", "+/8", "-_9"] {
            assert_eq!(decode_strict(text), None, "{text}");
        }
    }
}
