//! The key of a buyer who showed nothing but a payment: without it nobody could reach the machine, or
//! what was credited for it.
//!
//! Its text stays readable to whoever shows the same payment again, sealed, until it is first used or a
//! day is over: the answer that carried it may have been lost (decisions.md 24).

use compute_domain::id::{ApiKeyId, OperationId};
use compute_domain::money::Usd;
use compute_domain::operation::Operation;
use compute_domain::owner::{ApiKey, Scopes};
use compute_domain::text::Label;
use secrecy::{ExposeSecret as _, SecretString};

use crate::api_key;
use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{KeyStored, Tx, TxMode};

/// How the key is called in lists.
const LABEL: &str = "management key";

/// The key of a purchase.
#[derive(Debug)]
pub struct ManagementKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The last four characters of its text.
    pub last4: String,
    /// Its text, until it was first used or its time was over.
    pub text: Option<SecretString>,
}

/// The associated data of a sealed text.
fn seal_context(operation: OperationId) -> String {
    format!("management_keys/{operation}")
}

impl Engine {
    /// Makes the key of a purchase, in the transaction that makes its owner.
    pub(crate) async fn make_management_key(
        &self,
        tx: &mut dyn Tx,
        operation: &Operation,
    ) -> Result<(), Error> {
        let now = self.now();
        let (text, last4) = api_key::generate(self.entropy.as_ref());
        let api_key = ApiKey {
            id: ApiKeyId::generate(now, self.entropy.as_ref()),
            owner: operation.owner,
            label: Label::parse(LABEL).ok(),
            last4,
            scopes: Scopes::ALL,
            budget: None,
            spent: Usd::ZERO,
            expires_at: None,
            created_at: now,
            revoked_at: None,
        };
        let text = text.expose_secret();
        let mac = api_key::keyed_hash(text, &self.secrets.api_key_pepper);
        let limit = self.config.auth.max_api_keys;
        if tx.insert_api_key(&api_key, &mac, None, limit).await? != KeyStored::New {
            return Err(Error::TooManyApiKeys);
        }
        let context = seal_context(operation.id);
        let sealer = &self.secrets.sealer;
        let sealed = sealer
            .seal(text.as_bytes(), &context, self.entropy.as_ref())
            .map_err(|error| Error::Internal(Box::new(error)))?;
        tx.keep_management_key(operation.id, api_key.id, &sealed, now)
            .await?;
        Ok(())
    }

    /// The key that a purchase made, for whoever has shown its payment; `None` for one that made none.
    ///
    /// # Errors
    /// When the database cannot be used, or the text cannot be unsealed.
    pub async fn management_key(
        &self,
        operation: OperationId,
    ) -> Result<Option<ManagementKey>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let kept = tx.find_management_key(operation).await?;
        let owner = tx.find_operation(operation).await?.map(|found| found.owner);
        let keys = match (&kept, owner) {
            (Some(_), Some(owner)) => tx.list_api_keys(owner).await?,
            _ => Vec::new(),
        };
        tx.rollback().await?;
        let Some(kept) = kept else {
            return Ok(None);
        };
        let Some(api_key) = keys.into_iter().find(|key| key.id == kept.api_key) else {
            return Ok(None);
        };
        let text = match kept.sealed {
            Some(sealed) if api_key.revoked_at.is_none() => {
                let opened = self.secrets.sealer.open(&sealed, &seal_context(operation));
                let bytes = opened.map_err(|error| Error::Internal(Box::new(error)))?;
                let text =
                    String::from_utf8(bytes).map_err(|_| Error::Internal("not UTF-8".into()))?;
                Some(SecretString::from(text))
            }
            _ => None,
        };
        Ok(Some(ManagementKey {
            id: api_key.id,
            last4: api_key.last4,
            text,
        }))
    }

    /// Whoever uses a key has it: its text is shown no more. When it cannot be erased now, the next use
    /// tries again, and after a day the janitor; nobody is refused what the key opens for it.
    pub(crate) async fn note_use(&self, api_key: ApiKeyId) {
        if let Err(error) = self.erase_text(api_key).await {
            tracing::warn!(
                error = %error, api_key.id = %api_key,
                "the text of a management key that was used is still kept"
            );
        }
    }

    async fn erase_text(&self, api_key: ApiKeyId) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.erase_management_key(api_key).await?;
        tx.commit().await?;
        Ok(())
    }
}
