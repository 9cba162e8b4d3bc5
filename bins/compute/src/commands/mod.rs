//! The commands.

pub(crate) mod book;
mod buy;
pub(crate) mod catalog;
mod credits;
mod keys;
mod machines;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::args::{Arguments, Command};
use crate::context::Context;
use crate::end::End;
use crate::{mcp, print};

/// Carries out what was asked for.
pub(crate) async fn run(arguments: Arguments) -> Result<End> {
    let Arguments { global, command } = arguments;
    if let Command::Completions { shell } = command {
        let mut own = Arguments::command();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut own, "compute", &mut script);
        print::raw(&script);
        return Ok(End::Done);
    }
    if let Command::Mcp(wanted) = &command {
        mcp::check(&global, wanted)?;
    }
    let is_local = matches!(command, Command::Budget(_) | Command::History);
    let context = Context::open(global, is_local).await?;
    match command {
        Command::Plans(filter) => catalog::plans(&context, &filter).await,
        Command::Regions => catalog::regions(&context).await,
        Command::Images => catalog::images(&context).await,
        Command::Quote(machine) => buy::quote(&context, &machine).await,
        Command::Provision(order) => buy::provision(&context, &order).await,
        Command::Extend(order) => buy::extend(&context, &order).await,
        Command::List => machines::list(&context).await,
        Command::Show { id } => machines::show(&context, &id).await,
        Command::Resize(wanted) => machines::resize(&context, &wanted).await,
        Command::Password { id } => machines::password(&context, &id).await,
        Command::Destroy { id } => machines::destroy(&context, &id).await,
        Command::Credits(wanted) => credits::run(&context, &wanted).await,
        Command::Keys(wanted) => keys::run(&context, &wanted).await,
        Command::Budget(wanted) => book::budget(&context, &wanted),
        Command::Recover { patience } => book::recover(&context, patience).await,
        Command::History => book::history(&context),
        Command::Mcp(wanted) => mcp::run(context, &wanted).await,
        Command::Completions { .. } => Ok(End::Done),
    }
}
