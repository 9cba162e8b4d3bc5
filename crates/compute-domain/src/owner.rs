//! Owners and their API keys.

use core::fmt;

use crate::id::{ApiKeyId, OwnerId};
use crate::money::Usd;
use crate::text::Label;
use crate::text_enum;
use crate::time::Timestamp;

text_enum! {
    /// One thing an API key may be allowed to do.
    Scope {
        /// See machines, orders, balance and the list of keys.
        Read = "read",
        /// Destroy machines and take their passwords.
        Manage = "manage",
        /// Buy and extend machines and top credits up; spend credits, up to the key's budget.
        Spend = "spend",
    }
}

/// What an API key may do: at least one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes {
    read: bool,
    manage: bool,
    spend: bool,
}

/// Not a list of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scopes are one or more of read, manage and spend, each once")]
pub struct InvalidScopes;

impl Scopes {
    /// Everything an API key can be allowed to do.
    pub const ALL: Self = Self {
        read: true,
        manage: true,
        spend: true,
    };

    /// The scopes of a list.
    ///
    /// # Errors
    /// When the list is empty or names one twice.
    pub fn of(list: &[Scope]) -> Result<Self, InvalidScopes> {
        let count = |scope: Scope| list.iter().filter(|one| **one == scope).count();
        let counts = [Scope::Read, Scope::Manage, Scope::Spend].map(count);
        if list.is_empty() || counts.iter().any(|count| *count > 1) {
            return Err(InvalidScopes);
        }
        let [read, manage, spend] = counts.map(|count| count == 1);
        Ok(Self {
            read,
            manage,
            spend,
        })
    }

    /// Reads the stored form: scopes joined by commas.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, InvalidScopes> {
        let list: Option<Vec<Scope>> = text.split(',').map(Scope::parse).collect();
        Self::of(&list.ok_or(InvalidScopes)?)
    }

    /// Whether this scope is among them.
    pub const fn contains(self, scope: Scope) -> bool {
        match scope {
            Scope::Read => self.read,
            Scope::Manage => self.manage,
            Scope::Spend => self.spend,
        }
    }

    /// The scopes, in order of declaration.
    pub fn list(self) -> Vec<Scope> {
        let scopes = Scope::ALL.iter().copied();
        scopes.filter(|scope| self.contains(*scope)).collect()
    }
}

/// The stored form.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, scope) in self.list().into_iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{scope}")?;
        }
        Ok(())
    }
}

/// An API key as stored: never its text, only a keyed hash of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Identifies the key in lists and when it is revoked.
    pub id: ApiKeyId,
    /// For whom the key acts.
    pub owner: OwnerId,
    /// The customer's name for it.
    pub label: Option<Label>,
    /// The last four characters of the key text.
    pub last4: String,
    /// What it may do.
    pub scopes: Scopes,
    /// How many credits it may spend in all; none means no limit of its own.
    pub budget: Option<Usd>,
    /// How many credits it has spent; what was given back does not count.
    pub spent: Usd,
    /// When it was created.
    pub created_at: Timestamp,
    /// From when on it no longer works by itself.
    pub expires_at: Option<Timestamp>,
    /// Since when it no longer works because it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// What it may still spend; none means no limit of its own.
    pub fn budget_left(&self) -> Option<Usd> {
        self.budget
            .map(|budget| budget.checked_sub(self.spent).unwrap_or(Usd::ZERO))
    }

    /// Whether it works: neither revoked nor expired by now.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back() {
        for text in ["read", "manage", "read,spend", "read,manage,spend"] {
            assert_eq!(Scopes::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Scopes::parse("spend,read").unwrap().to_string(),
            "read,spend"
        );
        assert_eq!(Scopes::ALL.to_string(), "read,manage,spend");
        for bad in ["", "read,", "read,read", "write", "Read", "read spend"] {
            assert_eq!(Scopes::parse(bad), Err(InvalidScopes), "{bad}");
        }
    }

    #[test]
    fn a_key_may_do_what_its_scopes_say() {
        let scopes = Scopes::of(&[Scope::Read]).unwrap();
        assert!(scopes.contains(Scope::Read));
        assert!(!scopes.contains(Scope::Manage) && !scopes.contains(Scope::Spend));
    }

    #[test]
    fn an_overdrawn_budget_has_nothing_left() {
        let usd = |micros| Usd::from_micros(micros).unwrap();
        let uuid = uuid::Uuid::from_u128(1);
        let mut api_key = ApiKey {
            id: ApiKeyId::from_uuid(uuid),
            owner: OwnerId::from_uuid(uuid),
            label: None,
            last4: "abcd".to_owned(),
            scopes: Scopes::ALL,
            budget: Some(usd(5)),
            spent: usd(3),
            created_at: Timestamp::from_millis(0),
            expires_at: None,
            revoked_at: None,
        };
        assert_eq!(api_key.budget_left(), Some(usd(2)));
        api_key.spent = usd(6);
        assert_eq!(api_key.budget_left(), Some(Usd::ZERO));
        api_key.budget = None;
        assert_eq!(api_key.budget_left(), None);
    }
}
