//! Installing the clients below `target/interop`, once.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::clients::{self, Client, Registry};
use crate::cargo;

/// Written last, so that its presence says that everything else is there.
const STAMP: &str = "installed";

/// Installs what is missing, all at once, and brings the programs of this workspace up to date.
pub(super) fn install(workshop: &Path) -> Result<()> {
    thread::scope(|scope| {
        let installing: Vec<_> = clients::all()
            .map(|client| scope.spawn(|| install_client(workshop, client)))
            .collect();
        installing.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow!("an installing thread panicked"))?
        })
    })
}

fn install_client(workshop: &Path, client: &Client) -> Result<()> {
    let folder = workshop.join(client.folder);
    let wanted = stamp(client)?;
    if fs::read_to_string(folder.join(STAMP)).ok().as_ref() != Some(&wanted) {
        // Half an installation is as good as none.
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        println!("installing {}", client.name);
        match client.registry {
            Registry::Npm => install_from_npm(&folder, client.packages),
            Registry::Pypi => install_from_pypi(&folder, client.packages),
        }
        .with_context(|| format!("install {}", client.name))?;
        fs::write(folder.join(STAMP), wanted).context("note what is installed")?;
    }
    copy_programs(&folder)
}

/// What an installation depends on.
fn stamp(client: &Client) -> Result<String> {
    let interpreter = match client.registry {
        Registry::Npm => cargo::output(Command::new("node").arg("--version"))?,
        // Environments hold paths into the Python that made them.
        Registry::Pypi => cargo::output(
            Command::new("python3").args(["-c", "import sys; print(sys.version, sys.base_prefix)"]),
        )?,
    };
    Ok(format!("{}\n{interpreter}", client.packages.join(" ")))
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
fn copy_programs(folder: &Path) -> Result<()> {
    let source = cargo::root().join("xtask/interop");
    let entries = fs::read_dir(&source).with_context(|| format!("list {}", source.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", source.display()))?;
        let target = folder.join(entry.file_name());
        fs::copy(entry.path(), &target).with_context(|| format!("write {}", target.display()))?;
    }
    Ok(())
}
