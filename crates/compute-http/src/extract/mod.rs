//! Reading requests. The extractor in a handler's signature says who may call it.

mod accept;
mod auth;
mod body;
mod call;
mod header;
mod json;
mod path;
mod payment;
mod query;
mod request_key;

pub(crate) use accept::Accepted;
pub(crate) use auth::is_claimed;
pub(crate) use body::read as read_raw;
pub(crate) use call::{Anybody, Authenticated, Open, Signed};
pub(crate) use json::{AnyBody, NoBody, ReadBody, parse_json, require_json};
pub(crate) use path::Id;
pub(crate) use payment::{Payment, is_credential, is_presented, is_x402};
pub(crate) use query::{Format, HistoryPart, Paging, Patience, Wait, parameter};
