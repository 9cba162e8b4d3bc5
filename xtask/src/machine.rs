//! What this machine is, and adding programs to it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo;

pub(crate) fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

pub(crate) fn is_root() -> Result<bool> {
    Ok(user_id(None)? == 0)
}

/// The number of a user, or our own.
pub(crate) fn user_id(name: Option<&str>) -> Result<u32> {
    let text = cargo::output(Command::new("id").arg("-u").args(name))?;
    text.trim()
        .parse()
        .with_context(|| format!("`id -u` answered {text:?}"))
}

/// Installs Debian's packages. Without effect unless this is Debian and we are root.
pub(crate) fn install_packages(packages: &[&str]) -> Result<()> {
    if !is_debian() || !is_root()? {
        return Ok(());
    }
    println!("installing Debian's packages: {}", packages.join(" "));
    let install = || {
        let mut command = Command::new("apt-get");
        command
            .args(["install", "-y"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    // A fresh image has no package lists yet.
    if !cargo::status(&mut install())?.success() {
        cargo::run(Command::new("apt-get").arg("update"))?;
        cargo::run(&mut install())?;
    }
    Ok(())
}
