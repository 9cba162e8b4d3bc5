//! What `cargo metadata` says about the members of this workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo;

/// The members and where they live.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) members: Vec<Member>,
}

/// One crate of ours.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// The folder of the manifest.
    pub(crate) folder: PathBuf,
    /// The source file of the library, or of the program when there is no library.
    pub(crate) main_source: Option<PathBuf>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a member's dependency tables.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The table a dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// Asks cargo. Needs no network: only the manifests of the members are read.
    pub(crate) fn load() -> Result<Self> {
        let text = cargo::output(cargo::cargo().args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--locked",
        ]))?;
        let value: Value =
            serde_json::from_str(&text).context("parse the output of cargo metadata")?;
        Self::parse(&value)
    }

    fn parse(value: &Value) -> Result<Self> {
        let root = PathBuf::from(text(value, "workspace_root")?);
        let mut members = list(value, "packages")?
            .iter()
            .map(Member::parse)
            .collect::<Result<Vec<_>>>()?;
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root, members })
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The path as a reader of a message wants it.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

impl Member {
    fn parse(value: &Value) -> Result<Self> {
        let manifest = PathBuf::from(text(value, "manifest_path")?);
        let folder = manifest
            .parent()
            .context("a manifest without a folder")?
            .to_path_buf();
        let dependencies = list(value, "dependencies")?
            .iter()
            .map(Dependency::parse)
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            name: text(value, "name")?.to_owned(),
            description: value
                .get("description")
                .and_then(Value::as_str)
                .map(str::to_owned),
            folder,
            main_source: main_source(list(value, "targets")?),
            dependencies,
        })
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }
}

impl Dependency {
    fn parse(value: &Value) -> Result<Self> {
        let kind = match value.get("kind").and_then(Value::as_str) {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        };
        Ok(Self {
            name: text(value, "name")?.to_owned(),
            kind,
        })
    }
}

fn main_source(targets: &[Value]) -> Option<PathBuf> {
    let of_kind = |wanted: &str| {
        targets.iter().find(|target| {
            target
                .get("kind")
                .and_then(Value::as_array)
                .is_some_and(|kinds| kinds.iter().any(|kind| kind.as_str() == Some(wanted)))
        })
    };
    let target = of_kind("lib").or_else(|| of_kind("bin"))?;
    target
        .get("src_path")
        .and_then(Value::as_str)
        .map(PathBuf::from)
}

fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str> {
    value
        .get(member)
        .and_then(Value::as_str)
        .with_context(|| format!("cargo metadata has no text `{member}`"))
}

fn list<'a>(value: &'a Value, member: &str) -> Result<&'a [Value]> {
    value
        .get(member)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .with_context(|| format!("cargo metadata has no list `{member}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_becomes_members_sorted_by_name() {
        let value = json!({
            "workspace_root": "/w",
            "packages": [
                {"name": "b", "description": null, "manifest_path": "/w/crates/b/Cargo.toml",
                 "targets": [{"kind": ["bin"], "src_path": "/w/crates/b/src/main.rs"}], "dependencies": []},
                {"name": "a", "description": "A.", "manifest_path": "/w/crates/a/Cargo.toml",
                 "targets": [{"kind": ["test"], "src_path": "/w/t.rs"}, {"kind": ["lib"], "src_path": "/w/crates/a/src/lib.rs"}],
                 "dependencies": [{"name": "serde", "kind": null}, {"name": "b", "kind": "dev"}]},
            ],
        });
        let workspace = Workspace::parse(&value).unwrap();
        let names: Vec<_> = workspace
            .members
            .iter()
            .map(|member| member.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
        let a = workspace.member("a").unwrap();
        assert_eq!(
            a.main_source.as_deref(),
            Some(Path::new("/w/crates/a/src/lib.rs"))
        );
        assert_eq!(a.dependencies[0].kind, Kind::Normal);
        assert_eq!(
            a.dependencies[1],
            Dependency {
                name: "b".to_owned(),
                kind: Kind::Dev
            }
        );
    }
}
