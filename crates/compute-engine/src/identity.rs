//! Who is asking: wallet signatures, API keys, owners.
//!
//! Authentication only recognises; it writes nothing. A signature's nonce is spent by the use case
//! that reads or changes something, in its own transaction (decisions.md 23).

use compute_domain::id::{ApiKeyId, OwnerId};
use compute_domain::money::Usd;
use compute_domain::owner::{ApiKey, Scope, Scopes};
use compute_domain::request_key::RequestKey;
use compute_domain::text::Label;
use compute_domain::time::Timestamp;
use compute_wallet::{AuthClaim, AuthError, AuthenticatedWallet, WalletAddress};
use secrecy::SecretString;

use crate::api_key;
use crate::engine::Engine;
use crate::error::{AuthFailure, Error};
use crate::ports::{KeyStored, Tx, TxMode};

/// What a request presents of its sender.
#[derive(Debug)]
pub enum Presented<'a> {
    /// Nothing.
    Nothing,
    /// A wallet's signature over the request.
    Signature(AuthClaim<'a>),
    /// The text of an API key.
    ApiKey(&'a str),
}

/// Who is asking.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// Whoever holds this wallet.
    Wallet(AuthenticatedWallet),
    /// Whoever holds this API key.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// For whom it acts.
        owner: OwnerId,
        /// What it may do.
        scopes: Scopes,
    },
}

impl Caller {
    /// Refuses an API key that may not do this. A wallet may do everything.
    pub(crate) const fn require(&self, needed: Scope) -> Result<(), Error> {
        match self {
            Self::ApiKey { scopes, .. } if !scopes.contains(needed) => {
                Err(Error::ScopeMissing { needed })
            }
            _ => Ok(()),
        }
    }
}

/// What a new API key shall be.
#[derive(Debug, Clone)]
pub struct ApiKeyTerms {
    /// The customer's name for it.
    pub label: Option<Label>,
    /// What it may do.
    pub scopes: Scopes,
    /// How many credits it may spend in all; none means no limit of its own.
    pub budget: Option<Usd>,
    /// From when on it no longer works; in the future.
    pub expires_at: Option<Timestamp>,
    /// The client's name for the request: under one name one key is made.
    pub name: Option<RequestKey>,
}

impl Default for ApiKeyTerms {
    /// A key for everything, without end.
    fn default() -> Self {
        Self {
            label: None,
            scopes: Scopes::ALL,
            budget: None,
            expires_at: None,
            name: None,
        }
    }
}

/// A new API key; its text is shown this once.
#[derive(Debug)]
pub struct NewApiKey {
    /// The key's text.
    pub text: SecretString,
    /// What is stored of it.
    pub api_key: ApiKey,
}

impl Engine {
    /// Recognises the sender of a request. Writes nothing, but that a management key was used for the
    /// first time.
    ///
    /// # Errors
    /// `Unauthenticated` when something was presented and is not good; never falls back to
    /// `Anonymous`.
    pub async fn authenticate(&self, presented: Presented<'_>) -> Result<Caller, Error> {
        match presented {
            Presented::Nothing => Ok(Caller::Anonymous),
            Presented::Signature(claim) => {
                let skew = self.config.auth.clock_skew.millis();
                compute_wallet::authenticate(&claim, self.now().millis(), skew)
                    .map(Caller::Wallet)
                    .map_err(|error| Error::Unauthenticated(auth_failure(&error)))
            }
            Presented::ApiKey(text) => self.recognise_api_key(text).await,
        }
    }

    async fn recognise_api_key(&self, text: &str) -> Result<Caller, Error> {
        if !api_key::is_well_formed(text) {
            return Err(AuthFailure::ApiKey.into());
        }
        let mac = api_key::keyed_hash(text, &self.secrets.api_key_pepper);
        let mut tx = self.store.begin(TxMode::Read).await?;
        let found = tx.find_api_key(&mac).await?;
        tx.rollback().await?;
        let Some(found) = found else {
            return Err(AuthFailure::ApiKey.into());
        };
        let api_key = found.api_key;
        if api_key.revoked_at.is_some() {
            return Err(AuthFailure::ApiKey.into());
        }
        if api_key.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(AuthFailure::ApiKeyExpired.into());
        }
        if found.is_text_kept {
            self.note_use(api_key.id).await;
        }
        Ok(Caller::ApiKey {
            id: api_key.id,
            owner: api_key.owner,
            scopes: api_key.scopes,
        })
    }

    /// Makes an API key for the wallet that signed the request.
    ///
    /// # Errors
    /// `SignatureRequired` for an API key, `Unauthenticated` without any or with a spent nonce,
    /// `PayerRefused` for a wallet that nothing is sold to, `TooManyApiKeys` at the limit,
    /// `ApiKeyMadeBefore` under a name that made one, `Invalid` for an end in the past.
    pub async fn create_api_key(
        &self,
        caller: &Caller,
        terms: ApiKeyTerms,
    ) -> Result<NewApiKey, Error> {
        let wallet = signer(caller)?;
        self.refuse_blocked(caller, None).await?;
        let now = self.now();
        if terms.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::Invalid {
                field: "expires_at",
                rule: "expires_at must be in the future".to_owned(),
            });
        }
        let mut tx = self.store.begin(TxMode::Write).await?;
        self.spend_nonce(tx.as_mut(), caller).await?;
        let candidate = OwnerId::generate(now, self.entropy.as_ref());
        let owner = tx.ensure_owner(candidate, &wallet.address, now).await?;
        let (text, last4) = api_key::generate(self.entropy.as_ref());
        let api_key = ApiKey {
            id: ApiKeyId::generate(now, self.entropy.as_ref()),
            owner,
            label: terms.label,
            last4,
            scopes: terms.scopes,
            budget: terms.budget,
            spent: Usd::ZERO,
            expires_at: terms.expires_at,
            created_at: now,
            revoked_at: None,
        };
        let mac = {
            use secrecy::ExposeSecret;
            api_key::keyed_hash(text.expose_secret(), &self.secrets.api_key_pepper)
        };
        let limit = self.config.auth.max_api_keys;
        let name = terms.name.as_ref();
        let stored = tx.insert_api_key(&api_key, &mac, name, limit).await?;
        // The nonce stays spent without a key too: the signature was valid and was answered.
        tx.commit().await?;
        match stored {
            KeyStored::New => {}
            KeyStored::Full => return Err(Error::TooManyApiKeys),
            KeyStored::Before(before) => return Err(Error::ApiKeyMadeBefore { id: before.id }),
        }
        tracing::info!(owner.id = %owner, api_key.id = %api_key.id, "API key created");
        Ok(NewApiKey { text, api_key })
    }

    /// The caller's API keys, newest first, revoked ones included.
    ///
    /// # Errors
    /// `Unauthenticated` for an anonymous caller or a spent nonce.
    pub async fn api_keys(&self, caller: &Caller) -> Result<Vec<ApiKey>, Error> {
        caller.require(Scope::Read)?;
        let (mut tx, owner) = self.open_for(caller).await?;
        let api_keys = match owner {
            Some(owner) => tx.list_api_keys(owner).await?,
            None => Vec::new(),
        };
        tx.commit().await?;
        Ok(api_keys)
    }

    /// Revokes one of the signer's API keys, and switches off the webhooks that it stands for; harmless
    /// when it already is.
    ///
    /// # Errors
    /// `SignatureRequired` for an API key, `NotFound` for a foreign or unknown key.
    pub async fn revoke_api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<ApiKey, Error> {
        signer(caller)?;
        let (mut tx, owner) = self.open_for(caller).await?;
        let revoked = match owner {
            Some(owner) => tx.revoke_api_key(owner, id, self.now()).await?,
            None => None,
        };
        if revoked.is_some() {
            // Whoever stole it hears nothing more.
            tx.end_webhooks_of(id).await?;
        }
        tx.commit().await?;
        revoked.ok_or(Error::NotFound)
    }

    /// Opens a transaction for an authenticated caller, with its owner if it has one yet. A
    /// signature's nonce is spent in it; the caller must commit.
    pub(crate) async fn open_for(
        &self,
        caller: &Caller,
    ) -> Result<(Box<dyn Tx>, Option<OwnerId>), Error> {
        match caller {
            Caller::Anonymous => Err(AuthFailure::Required.into()),
            Caller::ApiKey { owner, .. } => {
                Ok((self.store.begin(TxMode::Write).await?, Some(*owner)))
            }
            Caller::Wallet(wallet) => {
                let mut tx = self.store.begin(TxMode::Write).await?;
                self.spend_nonce(tx.as_mut(), caller).await?;
                let owner = tx.find_owner(&wallet.address).await?;
                Ok((tx, owner))
            }
        }
    }

    /// The same for a use case that only reads: an API key needs no writing transaction then.
    pub(crate) async fn open_to_read(
        &self,
        caller: &Caller,
    ) -> Result<(Box<dyn Tx>, Option<OwnerId>), Error> {
        match caller {
            Caller::ApiKey { owner, .. } => {
                Ok((self.store.begin(TxMode::Read).await?, Some(*owner)))
            }
            _ => self.open_for(caller).await,
        }
    }

    /// Spends the nonce of a signed request; does nothing for other callers.
    pub(crate) async fn spend_nonce(&self, tx: &mut dyn Tx, caller: &Caller) -> Result<(), Error> {
        let Caller::Wallet(wallet) = caller else {
            return Ok(());
        };
        let now = self.now();
        let forget_at = now.plus(self.config.auth.nonce_ttl);
        if tx
            .spend_nonce(&wallet.address, wallet.nonce.as_str(), now, forget_at)
            .await?
        {
            Ok(())
        } else {
            Err(AuthFailure::NonceUsed.into())
        }
    }

    /// Whose purchase this is, without writing: the owner when there is one, and a refusal when
    /// the payer may not pay for this caller (decisions.md 12).
    pub(crate) async fn check_payer(
        &self,
        caller: &Caller,
        payer: &WalletAddress,
    ) -> Result<(), Error> {
        match caller {
            Caller::Anonymous => Ok(()),
            Caller::Wallet(wallet) if wallet.address == *payer => Ok(()),
            Caller::Wallet(_) => Err(Error::PayerMismatch),
            Caller::ApiKey { owner, .. } => {
                let mut tx = self.store.begin(TxMode::Read).await?;
                let wallets = tx.wallets_of(*owner).await?;
                tx.rollback().await?;
                // An owner without a wallet may be paid for by anyone.
                if wallets.is_empty() || wallets.contains(payer) {
                    Ok(())
                } else {
                    Err(Error::PayerMismatch)
                }
            }
        }
    }

    /// Refuses who pays, who signed, and the owner for whom a key acts, when the operator sells nothing
    /// to one of their wallets. Why is between the operator and the wallet.
    pub(crate) async fn refuse_blocked(
        &self,
        caller: &Caller,
        payer: Option<&WalletAddress>,
    ) -> Result<(), Error> {
        let blocked = &self.config.sales.blocked_payers;
        if blocked.is_empty() {
            return Ok(());
        }
        let mut wallets: Vec<WalletAddress> = payer.copied().into_iter().collect();
        match caller {
            Caller::Anonymous => {}
            Caller::Wallet(wallet) => wallets.push(wallet.address),
            Caller::ApiKey { owner, .. } => {
                let mut tx = self.store.begin(TxMode::Read).await?;
                wallets.extend(tx.wallets_of(*owner).await?);
                tx.rollback().await?;
            }
        }
        match wallets.iter().find(|wallet| blocked.contains(wallet)) {
            Some(wallet) => {
                tracing::warn!(payment.payer = %wallet, "a blocked payer was refused");
                Err(Error::PayerRefused)
            }
            None => Ok(()),
        }
    }
}

fn signer(caller: &Caller) -> Result<&AuthenticatedWallet, Error> {
    match caller {
        Caller::Wallet(wallet) => Ok(wallet),
        Caller::ApiKey { .. } => Err(Error::SignatureRequired),
        Caller::Anonymous => Err(AuthFailure::Required.into()),
    }
}

const fn auth_failure(error: &AuthError) -> AuthFailure {
    match error {
        AuthError::OutOfWindow => AuthFailure::Expired,
        _ => AuthFailure::Invalid,
    }
}
