//! `cargo xtask fuzz`: every decoder under libFuzzer, on the stable toolchain.
//!
//! The targets are functions of `compute-fuzz`; the programs in `fuzz/` hand them to libFuzzer. No sanitizer is used,
//! because ours is safe Rust and sanitizers need an unstable compiler; coverage works without one.

mod options;
mod report;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use self::options::Options;
use self::report::Outcome;
use crate::cargo;

/// The release that the figures were made with.
const VERSION: &str = "0.13.2";

/// The program that knows the targets and their committed inputs.
const CORPUS: &str = "compute-fuzz-corpus";

/// An input that takes longer is a find; libFuzzer counts in seconds.
const TIMEOUT_S: u32 = 1;

/// Resident memory that a fuzzer may hold, its corpus included.
const MAX_RESIDENT_MIB: u32 = 1024;

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{}", options::USAGE);
        return Ok(ExitCode::SUCCESS);
    };
    let fuzz = Fuzz::prepare()?;
    let targets = fuzz.targets(&options)?;
    if options.pack {
        for target in &targets {
            fuzz.pack(target)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("seed {}", options.seed);
    let mut outcomes = Vec::new();
    for target in &targets {
        let outcome = fuzz.run(target, &options)?;
        println!("{target}: {}", outcome.sentence());
        outcomes.push(outcome);
    }
    let finds = outcomes.iter().filter(|outcome| outcome.is_find()).count();
    println!("{} targets, {finds} with a find", outcomes.len());
    Ok(if finds == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The built programs and where they work.
#[derive(Debug)]
struct Fuzz {
    folder: PathBuf,
    programs: PathBuf,
    corpus: PathBuf,
}

impl Fuzz {
    fn prepare() -> Result<Self> {
        let tool = cargo::find_or_install("fuzz", VERSION)?;
        let folder = cargo::target_dir().join("fuzz");
        let mut build = Command::new(tool);
        build
            .current_dir(cargo::root())
            .args(["fuzz", "build", "--sanitizer", "none", "--target-dir"])
            .arg(&folder);
        cargo::run(&mut build)?;
        cargo::run(cargo::cargo().args([
            "build",
            "--release",
            "--locked",
            "-p",
            "compute-fuzz",
            "--bin",
            CORPUS,
        ]))?;
        Ok(Self {
            programs: folder.join(host()?).join("release"),
            folder,
            corpus: cargo::target_dir().join("release").join(CORPUS),
        })
    }

    /// The targets that are asked for, or all.
    fn targets(&self, options: &Options) -> Result<Vec<String>> {
        let list = cargo::output(Command::new(&self.corpus).arg("list"))?;
        let all: Vec<String> = list
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
            bail!("no target `{unknown}`; there are {}", all.join(", "));
        }
        Ok(if options.targets.is_empty() {
            all
        } else {
            options.targets.clone()
        })
    }

    fn run(&self, target: &str, options: &Options) -> Result<Outcome> {
        let seeds = self.folder("seeds", target)?;
        cargo::output(
            Command::new(&self.corpus)
                .args(["unpack", target])
                .arg(&seeds),
        )?;
        let log = self.folder("logs", "")?.join(target);
        let mut artifacts = self.folder("artifacts", target)?.into_os_string();
        artifacts.push("/");
        let mut fuzzer = self.fuzzer(target, &log)?;
        fuzzer
            .args(options.limits())
            .arg(format!("-seed={}", options.seed))
            .arg(format!("-artifact_prefix={}", artifacts.display()))
            .arg(self.folder("corpus", target)?)
            .arg(seeds);
        let status = fuzzer
            .status()
            .with_context(|| format!("start the fuzzer of {target}"))?;
        let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
        Outcome::read(status.success(), &text, &log)
    }

    /// Commits what the runs so far have found, as few inputs as cover the same code.
    fn pack(&self, target: &str) -> Result<()> {
        let merged = self.folder("merged", target)?;
        fs::remove_dir_all(&merged).with_context(|| format!("empty {}", merged.display()))?;
        let merged = self.folder("merged", target)?;
        let mut fuzzer = self.fuzzer(target, &self.folder("logs", "")?.join("merge"))?;
        fuzzer
            .arg("-merge=1")
            .arg(&merged)
            .arg(self.folder("corpus", target)?);
        if !cargo::status(&mut fuzzer)?.success() {
            bail!("libFuzzer could not merge the corpus of {target}");
        }
        cargo::run(
            Command::new(&self.corpus)
                .args(["pack", target])
                .arg(&merged),
        )
    }

    fn fuzzer(&self, target: &str, log: &Path) -> Result<Command> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let dictionary = cargo::root().join("fuzz/dictionary.txt");
        let mut fuzzer = Command::new(self.programs.join(target));
        fuzzer
            .arg(format!("-dict={}", dictionary.display()))
            .arg(format!("-timeout={TIMEOUT_S}"))
            .arg(format!("-rss_limit_mb={MAX_RESIDENT_MIB}"))
            .args(["-max_len=4096", "-print_final_stats=1"])
            .stderr(file);
        Ok(fuzzer)
    }

    fn folder(&self, kind: &str, target: &str) -> Result<PathBuf> {
        let folder = self.folder.join(kind).join(target);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(folder)
    }
}

/// The triple below which cargo-fuzz builds.
fn host() -> Result<String> {
    let text = cargo::output(Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc names no host")
}
