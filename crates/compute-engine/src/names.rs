//! The client's names for its purchases: the same name is the same purchase.
//!
//! A name whose purchase came to nothing because its payment was declined, or never sent, is free
//! again: the client may pay anew under it (reliability.md R1).

use compute_domain::id::{OperationId, OwnerId};
use compute_domain::instance::FailureCode;
use compute_domain::operation::{Operation, OperationState};
use compute_domain::request_key::RequestKey;
use compute_wallet::WalletAddress;

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::ports::{BoundKey, NameScope, Tx, TxMode};
use crate::purchase::{Purchase, Submitted};

/// What the names of a purchase stand for.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// The purchase that was already made under them.
    pub(crate) bought: Option<Operation>,
    /// Names that are free again, and what they stood for.
    replaces: Vec<(RequestKey, OperationId)>,
}

impl Named {
    fn replaced_by(&self, key: &RequestKey) -> Option<OperationId> {
        let found = self.replaces.iter().find(|(own, _)| own == key);
        found.map(|(_, operation)| *operation)
    }
}

impl Engine {
    /// Whether the caller, or the payer when nobody is authenticated, already made a purchase under
    /// one of these names: then a request with them buys nothing new. A payer is whoever signed a
    /// payment of x402; a credential proves nothing before it was verified.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn is_named(
        &self,
        caller: &Caller,
        payer: Option<&WalletAddress>,
        request_keys: &[RequestKey],
    ) -> Result<bool, Error> {
        if request_keys.is_empty() {
            return Ok(false);
        }
        let mut tx = self.store.begin(TxMode::Read).await?;
        let owner = owner_of_names(tx.as_mut(), caller, payer).await?;
        let mut is_named = false;
        if let Some(owner) = owner {
            for key in request_keys {
                let bound = tx.find_request_key(owner.into(), key).await?;
                let operation = match bound {
                    Some(bound) => tx.find_operation(bound.operation).await?,
                    None => None,
                };
                is_named |= operation.is_some_and(|operation| !is_free_again(&operation));
            }
        }
        tx.rollback().await?;
        Ok(is_named)
    }

    /// Looks a purchase's names up.
    ///
    /// # Errors
    /// `RequestKeyReused` when one stands for another request.
    pub(crate) async fn names_in(
        tx: &mut dyn Tx,
        scope: NameScope,
        purchase: &Purchase<'_>,
    ) -> Result<Named, Error> {
        let mut named = Named::default();
        for key in &purchase.request_keys {
            let Some(bound) = tx.find_request_key(scope, key).await? else {
                continue;
            };
            let operation = tx.find_operation(bound.operation).await?;
            match operation {
                Some(operation) if is_free_again(&operation) => {
                    named.replaces.push((key.clone(), operation.id));
                }
                _ if bound.request_digest != purchase.digest => {
                    return Err(Error::RequestKeyReused { kind: key.kind() });
                }
                Some(operation) => named.bought = Some(operation),
                None => {}
            }
        }
        Ok(named)
    }

    /// Gives the purchase's names, which are of `scope`, to its new operation. When an equal request was
    /// faster, what it bought is returned, and the caller must roll back.
    ///
    /// # Errors
    /// `RequestKeyReused` when another request was faster.
    pub(crate) async fn bind_names(
        &self,
        tx: &mut dyn Tx,
        purchase: &Purchase<'_>,
        scope: NameScope,
        operation: &Operation,
        named: &Named,
    ) -> Result<Option<BoundKey>, Error> {
        let forget_at = self.now().plus(self.timing().request_key_life);
        let bound = BoundKey {
            operation: operation.id,
            request_digest: purchase.digest,
        };
        for key in &purchase.request_keys {
            let replaces = named.replaced_by(key);
            let other = tx
                .bind_request_key(scope, key, &bound, replaces, forget_at)
                .await?;
            match other {
                None => {}
                Some(other) if other.request_digest == purchase.digest => return Ok(Some(other)),
                Some(_) => return Err(Error::RequestKeyReused { kind: key.kind() }),
            }
        }
        Ok(None)
    }

    /// The purchase that was made under the same name a moment earlier.
    pub(crate) async fn join_named(&self, bound: BoundKey) -> Result<Submitted, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let operation = tx.find_operation(bound.operation).await?;
        tx.rollback().await?;
        let operation = operation.ok_or(Error::NotFound)?;
        Ok(Submitted::named(&operation))
    }
}

/// Whose names a caller's are, or an x402 payer's when nobody is authenticated.
pub(crate) async fn owner_of_names(
    tx: &mut dyn Tx,
    caller: &Caller,
    payer: Option<&WalletAddress>,
) -> Result<Option<OwnerId>, Error> {
    Ok(match (caller, payer) {
        (Caller::ApiKey { owner, .. }, _) => Some(*owner),
        (Caller::Wallet(wallet), _) => tx.find_owner(&wallet.address).await?,
        (Caller::Anonymous, Some(payer)) => tx.find_owner(payer).await?,
        (Caller::Anonymous, None) => None,
    })
}

/// Whether nothing was charged for this purchase and nothing will be.
const fn is_free_again(operation: &Operation) -> bool {
    matches!(
        operation.state,
        OperationState::Failed {
            code: FailureCode::PaymentDeclined | FailureCode::PaymentUnreachable
        }
    )
}
