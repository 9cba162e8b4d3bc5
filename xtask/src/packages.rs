//! Installing what others published, from npm and PyPI, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::{cargo, tools};

/// Written last, so that its presence says that everything else is there.
const STAMP: &str = "installed";

/// Packages that live in one folder, with the programs of ours that use them.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its name and release for people.
    pub(crate) name: &'static str,
    /// Its folder in the workshop.
    pub(crate) folder: &'static str,
    pub(crate) registry: Registry,
    /// What is installed, in the words of the registry's installer.
    pub(crate) packages: &'static [&'static str],
    /// The folder below `xtask` with the programs that run in it.
    pub(crate) programs: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registry {
    Npm,
    Pypi,
}

/// Where everything is installed.
pub(crate) fn workshop() -> PathBuf {
    cargo::target_dir().join("interop")
}

/// Installs what is missing, all at once, and brings the programs of this workspace up to date.
pub(crate) fn install(bundles: impl IntoIterator<Item = &'static Bundle>) -> Result<()> {
    tools::require()?;
    thread::scope(|scope| {
        let installing: Vec<_> = bundles
            .into_iter()
            .map(|bundle| scope.spawn(|| bundle.install()))
            .collect();
        installing.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow!("an installing thread panicked"))?
        })
    })
}

impl Bundle {
    /// Where it is installed.
    pub(crate) fn path(&self) -> PathBuf {
        workshop().join(self.folder)
    }

    /// The command that runs one of its programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let folder = self.path();
        let interpreter = match self.registry {
            Registry::Npm => PathBuf::from("node"),
            Registry::Pypi => folder.join("venv/bin/python"),
        };
        let mut command = Command::new(interpreter);
        command.arg(program).current_dir(folder);
        command
    }

    fn install(&self) -> Result<()> {
        let folder = self.path();
        let wanted = self.stamp()?;
        if fs::read_to_string(folder.join(STAMP)).ok().as_ref() != Some(&wanted) {
            // Half an installation is as good as none.
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("empty {}", folder.display()))?;
            }
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
            println!("installing {}", self.name);
            match self.registry {
                Registry::Npm => install_from_npm(&folder, self.packages),
                Registry::Pypi => install_from_pypi(&folder, self.packages),
            }
            .with_context(|| format!("install {}", self.name))?;
            fs::write(folder.join(STAMP), wanted).context("note what is installed")?;
        }
        copy_programs(&cargo::root().join("xtask").join(self.programs), &folder)
    }

    /// What an installation depends on.
    fn stamp(&self) -> Result<String> {
        let interpreter = match self.registry {
            Registry::Npm => cargo::output(Command::new("node").arg("--version"))?,
            // Environments hold paths into the Python that made them.
            Registry::Pypi => cargo::output(
                Command::new("python3")
                    .args(["-c", "import sys; print(sys.version, sys.base_prefix)"]),
            )?,
        };
        Ok(format!("{}\n{interpreter}", self.packages.join(" ")))
    }
}

/// The releases are pinned by name. A lock file would name the host that the packages came from.
fn install_from_npm(folder: &Path, packages: &[&str]) -> Result<()> {
    // Without it npm would install into a parent folder that has one.
    fs::write(folder.join("package.json"), "{ \"private\": true }\n")
        .context("write package.json")?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-package-lock",
        "--save-exact",
        "--no-audit",
        "--no-fund",
    ]);
    // Nothing that is used here needs to be compiled.
    npm.arg("--ignore-scripts")
        .args(packages)
        .current_dir(folder);
    cargo::output(&mut npm).map(drop)
}

fn install_from_pypi(folder: &Path, packages: &[&str]) -> Result<()> {
    let environment = folder.join("venv");
    cargo::output(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(packages);
    cargo::output(&mut pip).map(drop)
}

/// Node.js looks for packages beside the program that wants them.
fn copy_programs(source: &Path, folder: &Path) -> Result<()> {
    let entries = fs::read_dir(source).with_context(|| format!("list {}", source.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", source.display()))?;
        let path = entry.path();
        if path.is_file() {
            let target = folder.join(entry.file_name());
            fs::copy(&path, &target).with_context(|| format!("write {}", target.display()))?;
        }
    }
    Ok(())
}
