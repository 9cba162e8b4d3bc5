//! Moves inputs between the committed corpus and the folders of a fuzzer.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool reports on its standard output"
)]

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use compute_fuzz::{TARGETS, corpus, seeds};

const USAGE: &str = "\
usage: compute-fuzz-corpus list                 the targets, and whether they check or make signatures
       compute-fuzz-corpus unpack TARGET FOLDER  writes seeds and committed inputs as files
       compute-fuzz-corpus pack TARGET FOLDER    commits the files of a folder
";

/// So much of a corpus is committed; what is left out is found again soon.
const MAX_CORPUS_BYTES: usize = 16 * 1024;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            for target in TARGETS {
                println!(
                    "{} {}",
                    target.name,
                    if target.signs { "signs" } else { "reads" }
                );
            }
        }
        ["unpack", target, folder] => unpack(target, Path::new(folder))?,
        ["pack", target, folder] => pack(target, Path::new(folder))?,
        _ => {
            print!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn unpack(target: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let inputs = [seeds::of(target), corpus::load(target)?].concat();
    for (number, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:04}")), input)?;
    }
    Ok(())
}

/// What is committed stays, for it may be a find; then the shortest inputs first, until there is no more room.
fn pack(target: &str, folder: &Path) -> io::Result<()> {
    let committed = corpus::load(target)?;
    let seeds = seeds::of(target);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let input = fs::read(entry?.path())?;
        if !seeds.contains(&input) && !committed.contains(&input) {
            found.push(input);
        }
    }
    found.sort_by_key(Vec::len);
    let size = |input: &Vec<u8>| corpus::escape(input).len() + 1;
    let mut room = MAX_CORPUS_BYTES.saturating_sub(committed.iter().map(size).sum());
    let new = found.into_iter().take_while(|input| {
        let fits = size(input) <= room;
        room = room.saturating_sub(size(input));
        fits
    });
    let inputs: Vec<_> = committed.into_iter().chain(new).collect();
    println!("{target}: {} inputs", inputs.len());
    corpus::store(target, inputs)
}
