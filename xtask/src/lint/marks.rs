//! A note about open work names who does it: `TO-DO(owner): what, and when`, without the hyphen.

use anyhow::Result;

use super::{Problem, sources};
use crate::workspace::Workspace;

/// Put together here, so that this file does not offend itself.
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

const EXTENSIONS: &[&str] = &["md", "py", "rs", "sh", "sql", "toml", "ts", "js", "mjs"];

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in sources::find_files(&workspace.root, EXTENSIONS)? {
        for number in orphans(&sources::read(&path)?) {
            problems.push(Problem::new(
                format!("{}:{number}", workspace.relative(&path).display()),
                format!(
                    "an open mark names its owner: {}(owner): what, and when",
                    MARKS[0]
                ),
            ));
        }
    }
    Ok(problems)
}

/// The numbers of the lines that hold a mark without an owner.
fn orphans(text: &str) -> Vec<usize> {
    text.lines()
        .zip(1..)
        .filter(|(line, _)| MARKS.iter().any(|mark| has_orphan(line, mark)))
        .map(|(_, number)| number)
        .collect()
}

fn has_orphan(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line
            .get(start.saturating_add(mark.len())..)
            .unwrap_or_default();
        let is_word =
            before.is_none_or(|character| !is_word(character)) && !after.starts_with(is_word);
        is_word && !has_owner(after)
    })
}

fn has_owner(after: &str) -> bool {
    after
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(owner, _)| !owner.trim().is_empty())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_without_an_owner_is_found() {
        let [first, second] = MARKS;
        assert_eq!(
            orphans(&format!(
                "a\n// {first}: later\n// {second} now\n{first}(): x"
            )),
            [2, 3, 4]
        );
    }

    #[test]
    fn a_mark_with_an_owner_and_other_words_pass() {
        let [first, second] = MARKS;
        assert_eq!(
            orphans(&format!(
                "// {first}(ada): when the vendor answers\n{first}S MY{second}"
            )),
            Vec::<usize>::new()
        );
    }
}
