//! Writing HTML: everything that comes from outside is escaped, and nothing else is written by hand
//! but tags.

use std::fmt::Write as _;

/// A piece of a page.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Tags, and texts of ours without special characters.
    pub(super) fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text as it is.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Text in which backticks stand around what is code.
    pub(super) fn prose(&mut self, text: &str) -> &mut Self {
        for (index, part) in text.split('`').enumerate() {
            if index % 2 == 0 {
                self.text(part);
            } else {
                self.raw("<code>").text(part).raw("</code>");
            }
        }
        self
    }

    /// A paragraph of such text.
    pub(super) fn paragraph(&mut self, text: &str) -> &mut Self {
        self.raw("<p>").prose(text).raw("</p>\n")
    }

    /// Lines to copy.
    pub(super) fn lines(&mut self, text: &str) -> &mut Self {
        self.raw("<pre>").text(text).raw("</pre>\n")
    }

    /// A heading that can be linked to.
    pub(super) fn heading(&mut self, level: u8, id: &str, text: &str) -> &mut Self {
        let _ = write!(self.0, "<h{level} id=\"{id}\">");
        self.text(text);
        let _ = writeln!(self.0, "</h{level}>");
        self
    }

    /// A table; cells are prose.
    pub(super) fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) -> &mut Self {
        if rows.is_empty() {
            return self;
        }
        self.raw("<div class=\"scroll\"><table><thead><tr>");
        for head in heads {
            self.raw("<th>").text(head).raw("</th>");
        }
        self.raw("</tr></thead><tbody>\n");
        for row in rows {
            self.raw("<tr>");
            for cell in row {
                self.raw("<td>").prose(cell).raw("</td>");
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n")
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let mut html = Html::default();
        html.paragraph("a `<script>` & \"b\"").lines("<x>");
        let wanted =
            "<p>a <code>&lt;script&gt;</code> &amp; &quot;b&quot;</p>\n<pre>&lt;x&gt;</pre>\n";
        assert_eq!(html.finish(), wanted);
    }
}
