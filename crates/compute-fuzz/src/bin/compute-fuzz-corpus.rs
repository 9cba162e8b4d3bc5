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

/// So much of a corpus is committed; what is longer is found again soon.
const MAX_CORPUS_BYTES: usize = 64 * 1024;

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

/// The shortest inputs first, until there is no more room.
fn pack(target: &str, folder: &Path) -> io::Result<()> {
    let seeds = seeds::of(target);
    let mut inputs = corpus::load(target)?;
    for entry in fs::read_dir(folder)? {
        let input = fs::read(entry?.path())?;
        if input.len() <= corpus::MAX_INPUT_BYTES && !seeds.contains(&input) {
            inputs.push(input);
        }
    }
    inputs.sort_by_key(Vec::len);
    let mut room = MAX_CORPUS_BYTES;
    inputs.retain(|input| {
        let size = corpus::escape(input).len() + 1;
        let fits = size <= room;
        room -= if fits { size } else { 0 };
        fits
    });
    println!("{target}: {} inputs", inputs.len());
    corpus::store(target, inputs)
}
