//! The committed inputs: one file for each target, one input on each line, unprintable bytes escaped.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Inputs longer than this are cut short by the fuzzer, and not kept.
pub const MAX_INPUT_BYTES: usize = 24 * 1024;

/// Where the committed inputs of a target are.
#[must_use]
pub fn file(target: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    folder.join(format!("{target}.txt"))
}

/// The committed inputs of a target; none when there is no file.
///
/// # Errors
/// When the file cannot be read, or a line is not escaped as [`escape`] does it.
pub fn load(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let text = match fs::read_to_string(file(target)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let inputs = text.lines().map(|line| {
        unescape(line).ok_or_else(|| io::Error::other(format!("not an input: {line:.80}")))
    });
    inputs.collect()
}

/// Writes the inputs of a target, the shortest first, each once.
///
/// # Errors
/// When the file cannot be written.
pub fn store(target: &str, mut inputs: Vec<Vec<u8>>) -> io::Result<()> {
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let lines = inputs.iter().map(|input| escape(input) + "\n");
    fs::write(file(target), lines.collect::<String>())
}

/// Printable ASCII as it is, everything else as `\x..`.
#[must_use]
pub fn escape(input: &[u8]) -> String {
    let mut line = String::with_capacity(input.len());
    for byte in input {
        match byte {
            b'\\' => line.push_str("\\\\"),
            b' '..=b'~' => line.push(char::from(*byte)),
            _ => {
                line.push_str("\\x");
                line.push_str(&hex::encode([*byte]));
            }
        }
    }
    line
}

/// Undoes [`escape`].
#[must_use]
pub fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut input = Vec::with_capacity(line.len());
    let mut rest = line.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            input.push(*byte);
            continue;
        }
        let [kind, tail @ ..] = rest else {
            return None;
        };
        rest = tail;
        input.push(match kind {
            b'\\' => b'\\',
            b'x' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                rest = tail;
                let [byte] = hex::decode(digits).ok()?.try_into().ok()?;
                byte
            }
            _ => return None,
        });
    }
    Some(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let line = escape(&all);
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(unescape(&line), Some(all));
        for line in ["\\", "\\q", "\\x1", "\\xzz"] {
            assert_eq!(unescape(line), None, "{line}");
        }
    }
}
