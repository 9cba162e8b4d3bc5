//! Reading keys one by one, so that every problem is reported at once and with its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use figment::providers::{Env, Format as _, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Profile, Provider as _};

use super::value::Setting;

/// The prefix of every environment variable of the server.
pub(crate) const ENV_PREFIX: &str = "COMPUTE_SERVER_";

/// Something about the configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The key's whole path.
    pub(crate) key: String,
    /// Where its value comes from.
    pub(crate) source: String,
    /// What is wrong; never the value of a secret.
    pub(crate) what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.key, self.what, self.source)
    }
}

/// The merged configuration while it is being read.
#[derive(Debug)]
pub(crate) struct Reader {
    figment: Figment,
    root: Value,
    known: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Reader {
    /// Nothing but the defaults.
    pub(crate) fn empty() -> Self {
        Self::new(Figment::new(), Dict::new(), Vec::new())
    }

    /// A file, if any, below the environment.
    pub(crate) fn open(file: Option<&Path>) -> Self {
        let mut figment = Figment::new();
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        // Checked apart: figment drops the environment together with a file it cannot read.
        let mut problems = Vec::new();
        if let Err(error) = figment.data() {
            let source = file.map_or_else(String::new, |file| file.display().to_string());
            let what = without_excerpt(&error.kind.to_string());
            problems.push(Problem {
                key: "(file)".to_owned(),
                source,
                what,
            });
            figment = Figment::new();
        }
        figment = figment.merge(Env::prefixed(ENV_PREFIX).split("__"));
        let data = figment
            .data()
            .ok()
            .and_then(|mut data| data.remove(&Profile::Default));
        Self::new(figment, data.unwrap_or_default(), problems)
    }

    fn new(figment: Figment, root: Dict, problems: Vec<Problem>) -> Self {
        Self {
            figment,
            root: Value::from(root),
            known: BTreeSet::new(),
            problems,
        }
    }

    /// Reads one key; `None` when it is absent, or wrong, which is noted.
    pub(crate) fn read<T: Setting>(&mut self, path: &str, key: &str) -> Option<T> {
        let path = format!("{path}.{key}");
        self.known.insert(path.clone());
        let value = self.root.find_ref(&path)?.clone();
        let read = T::read(&value);
        if read.is_none() {
            let mut what = format!("must be: {}", T::KIND);
            if !T::IS_SECRET
                && let Some(found) = super::value::text(&value)
            {
                what.push_str(&format!(", not {found:?}"));
            }
            self.problem(&path, what);
        }
        read
    }

    /// The names below a key, such as the labels of the rails.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let found = self.root.find_ref(path).and_then(Value::as_dict);
        found
            .map(|dict| dict.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether anything was given for a key.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.find_ref(path).is_some()
    }

    /// Notes that something about a key cannot work.
    pub(crate) fn problem(&mut self, key: &str, what: impl Into<String>) {
        let source = self.source(key);
        self.problems.push(Problem {
            key: key.to_owned(),
            source,
            what: what.into(),
        });
    }

    /// Where the value of a key comes from, in words for the operator.
    pub(crate) fn source(&self, key: &str) -> String {
        // What stands in a list comes from where the list comes from.
        let key = key.split('[').next().unwrap_or(key);
        let Some(value) = self.root.find_ref(key) else {
            return "default".to_owned();
        };
        let file = self
            .figment
            .get_metadata(value.tag())
            .and_then(|metadata| metadata.source.as_ref());
        match file.and_then(|source| source.file_path()) {
            Some(path) => path.display().to_string(),
            None => variable(key),
        }
    }

    /// The sources of all keys that do not have their default.
    pub(crate) fn sources(&self) -> BTreeMap<String, String> {
        self.known
            .iter()
            .filter(|key| self.has(key))
            .map(|key| (key.clone(), self.source(key)))
            .collect()
    }

    /// Notes every key that was given and never read, and returns all problems.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        let mut unknown = Vec::new();
        if let Some(root) = self.root.as_dict() {
            for (name, value) in root {
                self.find_unknown(name, value, &mut unknown);
            }
        }
        for key in unknown {
            self.problem(&key, "is not a key of this program");
        }
        self.problems
    }

    fn find_unknown(&self, path: &str, value: &Value, unknown: &mut Vec<String>) {
        if self.known.contains(path) {
            return;
        }
        let below = format!("{path}.");
        match value.as_dict() {
            Some(dict) if self.known.iter().any(|known| known.starts_with(&below)) => {
                for (name, value) in dict {
                    self.find_unknown(&format!("{path}.{name}"), value, unknown);
                }
            }
            _ => unknown.push(path.to_owned()),
        }
    }
}

/// The environment variable of a key.
pub(crate) fn variable(key: &str) -> String {
    format!(
        "{ENV_PREFIX}{}",
        key.to_ascii_uppercase().replace('.', "__")
    )
}

/// What a parser of TOML says, without the line it quotes, which may hold a secret.
fn without_excerpt(text: &str) -> String {
    let said = text.lines().map(str::trim).filter(|line| {
        let is_excerpt = line
            .split_once('|')
            .is_some_and(|(number, _)| number.trim().bytes().all(|byte| byte.is_ascii_digit()));
        !line.is_empty() && !is_excerpt
    });
    said.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_file_is_reported_without_quoting_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("compute.toml");
        std::fs::write(&file, "[secrets]\napi_key_pepper = \"hunter2\n").unwrap();
        let problems = Reader::open(Some(&file)).finish();
        let text = problems.iter().map(ToString::to_string).collect::<String>();
        assert!(text.contains("line 2"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_variable_has_two_underscores_between_levels() {
        assert_eq!(
            variable("rails.base.pay_to"),
            "COMPUTE_SERVER_RAILS__BASE__PAY_TO"
        );
    }
}
