//! Build automation: lint, tests, proofs, interop, benchmarks.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool reports on its standard output"
)]

mod abuse;
mod bench;
mod cargo;
mod chain;
mod crash;
mod faults;
mod fuzz;
mod interop;
mod layers;
mod lint;
mod machine;
mod mutants;
mod packages;
mod postgres;
mod race;
mod schema;
mod semver;
mod sim;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
usage: cargo xtask <command>

  lint [--print-layers]        check the rules of this workspace that no compiler checks
  test [filter...]             build, start a private PostgreSQL, run every test
  with-postgres -- <command>   run a command with a private PostgreSQL in COMPUTE_TEST_POSTGRES
  interop [--help]             install published clients, let them buy, check all records
  chain-test [--help]          real token code on local nodes, published clients, and the balances afterwards
  crash [--help]               kill the server at every fail point, on both databases, and check all records
  sim [--help]                 run seeds of the deterministic simulation, or look for planted bugs
  race [--help]                let many clients race at two replicas on PostgreSQL, and check what they were told
  abuse [--help]               attack the server over raw sockets, and look how an orderly client fares meanwhile
  bench [--help]               compare the release server with a bare axum handler
  schema [--help]              let schemathesis compare the server with the API document that it publishes
  semver [--bless]             compare the public API of the embedded crates with the committed one
  mutants [--help]             change the code that decides about money, and expect tests to fail
  fuzz [--help]                run the decoders of the embedded crates under libFuzzer
  faults [--help]              list the faults that runs have injected, and the open ones
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            // The alternate form prints the whole chain of causes.
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    match command.as_str() {
        "lint" => lint::run(rest),
        "test" => test::run(rest),
        "with-postgres" => test::with_postgres(rest),
        "interop" => interop::run(rest),
        "chain-test" => chain::run(rest),
        "crash" => crash::run(rest),
        "race" => race::run(rest),
        "abuse" => abuse::run(rest),
        "bench" => bench::run(rest),
        "faults" => faults::run(rest),
        "fuzz" => fuzz::run(rest),
        "mutants" => mutants::run(rest),
        "schema" => schema::run(rest),
        "semver" => semver::run(rest),
        "sim" => sim::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => {
            println!("xtask: unknown command `{other}`\n");
            print!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}
