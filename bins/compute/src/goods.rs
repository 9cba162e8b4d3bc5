//! The requests that purchases are made of: a command and a tool ask for the same in the same words.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use compute_client::{Means, Usd};
use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::context::Context;

/// Where machines are bought.
pub(crate) const PROVISION: &str = "/compute/provision";

/// Where credits are bought.
pub(crate) const TOPUP: &str = "/compute/credits/topup";

/// An image: a number at Vultr, a slug at DigitalOcean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Image {
    Number(u32),
    Slug(String),
}

impl Image {
    /// Ubuntu 24.04 at Vultr.
    pub(crate) const USUAL: Self = Self::Number(2284);
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Slug(slug) => f.write_str(slug),
        }
    }
}

impl FromStr for Image {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(number) => Self::Number(number),
            Err(_) => Self::Slug(text.to_owned()),
        })
    }
}

/// A machine that is wanted.
#[derive(Debug)]
pub(crate) struct Goods<'a> {
    pub(crate) plan: &'a str,
    /// The plan's first when absent.
    pub(crate) region: Option<&'a str>,
    pub(crate) os: &'a Image,
    pub(crate) hours: u32,
    pub(crate) label: Option<&'a str>,
    pub(crate) ssh_public_key: Option<&'a str>,
}

impl Goods<'_> {
    /// The request for it.
    ///
    /// # Errors
    /// When no region is named and the shop has none, or the SSH key is not the public one.
    pub(crate) async fn request(&self, context: &Context) -> Result<Value> {
        let region = match self.region {
            Some(region) => region.to_owned(),
            None => first_region(context, self.plan).await?,
        };
        let mut body = json!({
            "plan": self.plan, "region": region, "os_id": self.os, "prepaid_hours": self.hours,
        });
        if let Some(members) = body.as_object_mut() {
            if let Some(label) = self.label {
                members.insert("label".to_owned(), label.into());
            }
            if let Some(key) = self.ssh_public_key {
                ensure!(
                    !key.contains("PRIVATE KEY"),
                    "that is a private SSH key; the public one is wanted"
                );
                members.insert("ssh_public_key".to_owned(), key.trim().into());
            }
        }
        Ok(body)
    }
}

async fn first_region(context: &Context, plan: &str) -> Result<String> {
    let plans = context.shop.plans().await?;
    let found = plans.into_iter().find(|it| it.id == plan);
    let found =
        found.with_context(|| format!("no plan is called {plan}; `compute plans` lists them"))?;
    let first = found.locations.into_iter().next();
    first.with_context(|| format!("{plan} is sold out everywhere; `compute plans` lists others"))
}

/// The request for credits.
///
/// # Errors
/// Never: an amount is a number.
pub(crate) fn topup(amount: Usd, means: Means) -> Result<Value> {
    let network = match means {
        Means::Solana | Means::MegaEth => means.to_string(),
        _ => Means::Base.to_string(),
    };
    // As a number: what is written has no more digits than the amount.
    let number: Value = serde_json::from_str(&amount.to_string())?;
    Ok(json!({ "amount": number, "network": network }))
}

/// The path of a machine, or of something below it: an id from elsewhere reaches no other path.
///
/// # Errors
/// When it is no id.
pub(crate) fn machine(id: &str, below: &str) -> Result<String> {
    Ok(format!("/compute/instances/{}{below}", checked(id)?))
}

/// An id that is one part of a path.
///
/// # Errors
/// When it is none.
pub(crate) fn checked(id: &str) -> Result<&str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    ensure!(
        (1..=64).contains(&id.len()) && id.bytes().all(is_allowed),
        "an id is made of letters, digits, - and _, as `compute list` shows it"
    );
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reaches_no_other_path() {
        assert_eq!(
            machine("0192-ab_C", "/extend").unwrap(),
            "/compute/instances/0192-ab_C/extend"
        );
        for id in ["", ".", "..", "a/b", "../api-keys/k", "a%2Fb", "a b", "ä"] {
            assert!(checked(id).is_err(), "{id}");
        }
        assert!(checked(&"x".repeat(65)).is_err());
    }

    #[test]
    fn credits_are_asked_for_as_a_number() {
        let request = topup("2.50".parse().unwrap(), Means::Any).unwrap();
        assert_eq!(request["amount"].to_string(), "2.5");
        assert_eq!(request["network"], "base");
    }
}
