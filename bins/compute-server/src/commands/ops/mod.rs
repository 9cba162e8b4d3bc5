//! `ops`: what an operator looks at and decides, beside a running server.
//!
//! The commands use the server's database and the engine's use cases for operators, and nothing
//! outside: they have no key of a provider, of a payment network or of sealed secrets.

mod accounts;
mod arguments;
mod cards;
mod json;
mod story;
mod suspense;
mod table;
mod text;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use compute_domain::id::{InstanceId, OperationId};
use compute_engine::{Engine, Error};
use compute_store::Database;
use serde_json::Value;

pub(crate) use self::arguments::OpsArguments;
use self::arguments::{OpsCommand, QuarantineChange};
use self::story::Story;
use crate::ambient::ServerClock;
use crate::settings::{self, Loaded, OperatorConfig, PrivateUrl};
use crate::wiring;
use crate::workers::synchronise;

/// The exit code when the answer of a command is bad news.
const BAD_NEWS: u8 = 1;

/// The exit code when a command could not do what was asked.
pub(crate) const NOT_DONE: u8 = 2;

/// Does what the operator asks, and prints it.
///
/// # Errors
/// When the configuration has problems, the database cannot be used, or the operation's state does
/// not allow it.
pub(crate) async fn run(arguments: OpsArguments) -> anyhow::Result<ExitCode> {
    let config = configuration(&arguments)?;
    let database = Database::connect_beside_server(&wiring::store_config(&config.database))
        .await
        .context("open the database")?;
    let outcome = answer(&arguments.command, &config, &database).await;
    database.close().await;
    let answer = outcome?;
    print(&if arguments.json {
        format!("{:#}\n", answer.document)
    } else {
        answer.text
    })?;
    Ok(answer.code)
}

fn configuration(arguments: &OpsArguments) -> anyhow::Result<OperatorConfig> {
    let loaded = match &arguments.database {
        Some(url) => {
            let mut loaded = Loaded::defaults();
            loaded.settings.database.url = PrivateUrl::new(url);
            loaded
        }
        None => settings::load(arguments.config.as_deref())?,
    };
    Ok(loaded.check_for_operator()?)
}

/// What a command has to say, for people and for programs.
pub(super) struct Answer {
    text: String,
    document: Value,
    code: ExitCode,
}

impl Answer {
    const fn new(text: String, document: Value) -> Self {
        Self {
            text,
            document,
            code: ExitCode::SUCCESS,
        }
    }
}

async fn answer(
    command: &OpsCommand,
    config: &OperatorConfig,
    database: &Database,
) -> anyhow::Result<Answer> {
    let clock = Arc::new(ServerClock::start());
    synchronise(&clock, database).await;
    let engine = wiring::operators_engine(&config.timing, Arc::new(database.clone()), &clock)?;
    Ok(match command {
        OpsCommand::List => list(&engine).await?,
        OpsCommand::Show { id } => {
            let story = Story::read(&engine, database, *id).await?;
            Answer::new(text::show(&story), json::show(&story))
        }
        OpsCommand::Retry { id } => {
            let outcome = engine.retry(*id).await;
            let operation = outcome.map_err(|error| refusal(error, *id))?;
            Answer::new(text::retried(&operation), json::retried(&operation))
        }
        OpsCommand::Refund {
            id,
            reason,
            to_card: false,
            ..
        } => refund(&engine, database, *id, reason).await?,
        OpsCommand::Refund { .. } | OpsCommand::Refunds | OpsCommand::Disputes => {
            cards::answer(command, &engine).await?
        }
        OpsCommand::Audit => {
            let findings = engine.audit().await?;
            let mut answer = Answer::new(text::audit(&findings), json::audit(&findings));
            if !findings.is_empty() {
                answer.code = ExitCode::from(BAD_NEWS);
            }
            answer
        }
        OpsCommand::Arrivals | OpsCommand::Assign { .. } | OpsCommand::Reverted => {
            suspense::answer(command, &engine).await?
        }
        OpsCommand::Providers | OpsCommand::AcceptAccount { .. } | OpsCommand::Drifts => {
            accounts::answer(command, &engine).await?
        }
        OpsCommand::Suspects => {
            let suspects = engine.suspects().await?;
            Answer::new(text::suspects(&suspects), json::suspects(&suspects))
        }
        OpsCommand::Quarantine { change } => {
            let now = match change {
                None => engine.quarantine().await?,
                Some(QuarantineChange::Begin { reason }) => {
                    Some(engine.begin_quarantine(reason).await?)
                }
                Some(QuarantineChange::End) => {
                    engine.end_quarantine().await?;
                    None
                }
            };
            let now = now.as_ref();
            Answer::new(text::quarantine(now), json::quarantine(now))
        }
        OpsCommand::Missing => {
            let missing = engine.missing().await?;
            Answer::new(text::missing(&missing), json::missing(&missing))
        }
        OpsCommand::GiveUp { id, reason } => {
            let outcome = engine.give_up(*id, reason).await;
            let credited = outcome.map_err(|error| keeping(error, *id))?;
            Answer::new(text::given_up(*id, credited), json::given_up(*id, credited))
        }
    })
}

async fn list(engine: &Engine) -> anyhow::Result<Answer> {
    let operations = engine.unresolved().await?;
    let mut answer = Answer::new(text::list(&operations), json::list(&operations));
    cards::add_to_list(&mut answer, engine).await?;
    Ok(answer)
}

async fn refund(
    engine: &Engine,
    database: &Database,
    id: OperationId,
    reason: &str,
) -> anyhow::Result<Answer> {
    let outcome = engine.refund(id, reason).await;
    let amount = outcome.map_err(|error| refusal(error, id))?;
    let owner = Story::read(engine, database, id)
        .await
        .context("the refund is booked, but what the owner has now could not be read")?
        .owner;
    Ok(Answer::new(
        text::refunded(id, amount, &owner),
        json::refunded(id, amount, &owner),
    ))
}

/// Why nothing was done, in an operator's words.
fn refusal(error: Error, id: OperationId) -> anyhow::Error {
    match error {
        Error::NotFound => anyhow!("there is no operation {id}"),
        Error::WrongState { state: "settled" } => anyhow!(
            "operation {id} is not stuck over an unknown settlement: there is nothing to refund"
        ),
        Error::WrongState { state } => {
            anyhow!("operation {id} is {state}, not stuck: nothing was done")
        }
        Error::OperationInProgress { .. } => {
            anyhow!("a server is working on operation {id} at this moment: try again in a minute")
        }
        other => other.into(),
    }
}

/// Why a machine was not given up, in an operator's words.
fn keeping(error: Error, id: InstanceId) -> anyhow::Error {
    match error {
        Error::NotFound => anyhow!("there is no order {id}"),
        Error::WrongState { state } => {
            anyhow!("order {id} is {state}, and its machine is not missing: nothing was done")
        }
        Error::OperationInProgress { .. } => {
            anyhow!("something else is being done with order {id}: try again when it is over")
        }
        other => other.into(),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("write to standard output")
}

#[cfg(test)]
mod tests;
