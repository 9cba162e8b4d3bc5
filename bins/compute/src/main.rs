//! Finds, buys and runs machines of an x402Compute shop from the command line.

mod args;
mod commands;
mod context;
mod end;
mod goods;
mod mcp;
mod print;

use std::process::ExitCode;

use clap::Parser as _;

use self::args::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_json = arguments.global.json;
    let end = match commands::run(arguments).await {
        Ok(end) => end,
        Err(error) => {
            let end = end::of(&error);
            print::failure(&error, end, is_json);
            end
        }
    };
    print::end(end).code()
}
