//! Tables as CSV (RFC 4180), safe to open in a spreadsheet.

use std::borrow::Cow;

use http::HeaderValue;

/// What such an answer says it is; the first row names the columns.
pub(crate) const TEXT_CSV: HeaderValue =
    HeaderValue::from_static("text/csv; charset=utf-8; header=present");

/// Writes rows, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Table(String);

impl Table {
    /// A table whose first row names its columns.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = Self::default();
        table.row(columns.iter().copied().map(Cow::Borrowed));
        table
    }

    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = Cow<'a, str>>) {
        for (index, cell) in cells.into_iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            self.0.push_str(&written(&cell));
        }
        self.0.push_str("\r\n");
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// A cell as it stands in the table. What a spreadsheet would take for a formula gets an apostrophe in
/// front of it, and then quotes as every cell with a comma, a quote or a line break.
fn written(cell: &str) -> Cow<'_, str> {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let is_plain = !cell.contains(['"', ',', '\r', '\n', '\t']);
    if is_plain && !is_formula {
        return Cow::Borrowed(cell);
    }
    let guard = if is_formula { "'" } else { "" };
    Cow::Owned(format!("\"{guard}{}\"", cell.replace('"', "\"\"")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        for (cell, expected) in [
            ("", ""),
            ("0.168", "0.168"),
            ("größe 🚀", "größe 🚀"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=cmd()", "\"'=cmd()\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("1-1", "1-1"),
        ] {
            assert_eq!(written(cell), expected, "{cell:?}");
        }
    }

    /// Reads one row back, as RFC 4180 has it.
    fn read(row: &str) -> Vec<String> {
        let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
        let mut rest = row.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '"' if is_quoted && rest.peek() == Some(&'"') => {
                    rest.next();
                    cell.push('"');
                }
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => cells.push(std::mem::take(&mut cell)),
                c => cell.push(c),
            }
        }
        cells.push(cell);
        cells
    }

    proptest! {
        // What is read back is what was written, but for the apostrophe that makes a formula a text.
        #[test]
        fn rows_read_back(cells in prop::collection::vec("[a-z0-9=+@,\"\r\n\t -]{0,12}", 1..6)) {
            let mut table = Table::default();
            table.row(cells.iter().map(|cell| Cow::Borrowed(cell.as_str())));
            let read = read(&table.finish());
            prop_assert_eq!(read.len(), cells.len());
            for (read, cell) in read.iter().zip(&cells) {
                let is_same = read == cell || read.strip_prefix('\'') == Some(cell);
                prop_assert!(is_same, "{read:?} {cell:?}");
                prop_assert!(!read.starts_with(['=', '+', '-', '@', '\t', '\r']));
            }
        }
    }
}
