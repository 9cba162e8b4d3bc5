//! `compute mcp`: the verbs of this command as tools of the Model Context Protocol.
//!
//! What a model may spend is decided outside its reach: by the cap in the book, which no tool can change, and by
//! the arguments of this command. A purchase has the name that the model gives it and is written into the book
//! before it is paid, so a call that is made again, after a restart too, buys nothing twice.

mod arguments;
mod guard;
mod handler;
mod http;
mod told;
mod tools;
mod verbs;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use compute_client::Usd;
use rmcp::ServiceExt as _;

use self::guard::Token;
use self::handler::Handler;
use crate::args::{Global, Mcp};
use crate::context::Context;
use crate::end::End;
use crate::print;

/// Whoever calls tools acts as this.
#[derive(Debug)]
struct Desk {
    context: Context,
    /// Whether only what changes nothing may be called.
    is_read_only: bool,
    /// The most that one purchase may cost.
    max_price: Option<Usd>,
}

/// Refuses what cannot be served, before anything is read.
///
/// # Errors
/// When others than programs of this machine could reach it, or when the key would be read from what a client
/// writes to.
pub(crate) fn check(global: &Global, wanted: &Mcp) -> Result<()> {
    match wanted.http {
        Some(address) => ensure!(
            address.ip().is_loopback(),
            "{address} can be reached from other machines: name an address of this one, such as 127.0.0.1:{}",
            address.port()
        ),
        None if global.is_key_in_input() => {
            bail!(
                "the input belongs to the client of `compute mcp`: use --key-file or COMPUTE_KEY"
            );
        }
        None => {}
    }
    Ok(())
}

/// Serves until the client is gone, or until it is interrupted.
///
/// # Errors
/// When the address cannot be listened at, or the bearer token cannot be read.
pub(crate) async fn run(context: Context, wanted: &Mcp) -> Result<End> {
    let token = match wanted.http {
        Some(_) => Some(Token::load(&context.folder, wanted.token_file.as_deref())?),
        None => None,
    };
    let handler = Handler::new(Arc::new(Desk {
        context,
        is_read_only: wanted.read_only,
        max_price: wanted.max_price,
    }));
    if let (Some(address), Some((token, place))) = (wanted.http, token) {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("listen at {address}"))?;
        let own = listener.local_addr().context("listen")?;
        print::progress(&format!("listening on http://{own}/mcp"));
        print::progress(&format!("the bearer token is in {place}"));
        http::serve(listener, token, handler).await?;
        return Ok(End::Done);
    }
    let service = handler.serve(rmcp::transport::stdio()).await;
    let service = service.context("begin to speak with the client")?;
    service.waiting().await.context("speak with the client")?;
    Ok(End::Done)
}
