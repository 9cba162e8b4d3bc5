//! Text in columns, for terminals.

use std::fmt::Write as _;

/// Rows of cells. Every column is as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table that has nothing but its head.
    pub(super) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|name| name.to_uppercase()).collect();
        Self { rows: vec![head] }
    }

    /// A table without a head: facts, each after its name.
    pub(super) const fn of_facts() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.iter().map(|cell| clean(cell));
        self.rows.push(cells.collect());
    }

    /// Adds a fact.
    pub(super) fn fact(&mut self, name: &str, value: impl ToString) {
        self.row([name.to_owned(), value.to_string()]);
    }

    /// The text, every line behind so many blanks.
    pub(super) fn text(&self, indent: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a text cannot fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text that cannot move the cursor or change the colours of a terminal: some of it was written by
/// customers, providers and payment networks.
pub(super) fn clean(text: &str) -> String {
    let harmless = |character: char| !character.is_control();
    text.chars()
        .map(|character| {
            if harmless(character) {
                character
            } else {
                '\u{fffd}'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["kind", "why"]);
        table.row(["provision".to_owned(), "größe".to_owned()]);
        table.row(["x".to_owned(), String::new()]);
        assert_eq!(table.text(2), "  KIND       WHY\n  provision  größe\n  x\n");
        assert_eq!(Table::of_facts().text(2), "");
    }

    #[test]
    fn nothing_in_a_cell_controls_the_terminal() {
        let mut table = Table::of_facts();
        table.fact("detail", "a\u{1b}[31m\nb\u{9b}c");
        assert_eq!(table.text(0), "detail  a\u{fffd}[31m\u{fffd}b\u{fffd}c\n");
    }
}
